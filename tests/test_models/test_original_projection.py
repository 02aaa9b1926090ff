"""benchmarks/original_projection.py: where the original looks for points in its feature map."""
import sys
from pathlib import Path

import torch
from test_simipu import HEIGHT, WIDTH, build, frames, pinhole

sys.path.append(str(Path(__file__).resolve().parents[2] / 'benchmarks'))
import original_projection  # noqa: F401  (registers the model)


def test_every_point_is_paired_with_its_share_of_the_map_in_training_alone(device):
    model = build(type='OriginalProjectionSimIPU', data_preprocessor=dict(type='PairedDataPreprocessor'))
    model.img_backbone.num_stages = 4  # stride 32: a map of one row and two columns
    inputs, samples = frames()
    points = model.project_points(inputs['points'], inputs, samples)
    assert points.visible.all()
    pixel, _ = pinhole(inputs['points'][0])
    column, row = pixel[:, 0] / WIDTH * (2 - 1), pixel[:, 1] / HEIGHT * (1 - 1)
    expected = torch.stack([column, row], dim=1) * 32 + 15.5
    torch.testing.assert_close(points.pixel[0, 0], expected, rtol=1e-4, atol=1e-3)
    assert not model.eval().project_points(inputs['points'], inputs, samples).visible.all()
