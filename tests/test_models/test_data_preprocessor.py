"""PairedDataPreprocessor: values, padding, and frames that do not go together."""
import numpy as np
import pytest
import torch
from mmdet3d.structures import Det3DDataSample
from mmengine.dataset import pseudo_collate

from simipu.models.data_preprocessor import PairedDataPreprocessor

MEAN, STD = [10., 20., 30.], [1., 2., 4.]


def frame(shapes: list, num_points: int = 5, name: str = 'a') -> dict:
    rng = np.random.default_rng(len(name) + num_points)
    images = [
        torch.from_numpy(rng.integers(0, 256, (3, *shape), dtype=np.uint8)) for shape in shapes
    ]
    points = torch.from_numpy(rng.normal(size=(num_points, 4)).astype(np.float32))
    sample = Det3DDataSample(metainfo=dict(lidar_path=f'{name}.bin', cam_names=['C'] * len(shapes)))
    return dict(inputs=dict(points=points, points_aug=points + 1, img=images), data_samples=sample)


@pytest.mark.parametrize('bgr_to_rgb', [True, False])
def test_images_are_normalised_and_padded_to_the_right_and_bottom(bgr_to_rgb):
    frames = [frame([(20, 50), (31, 40)]), frame([(33, 64), (10, 10)], name='bb')]
    batch = PairedDataPreprocessor(MEAN, STD, bgr_to_rgb)(pseudo_collate(frames))
    imgs = batch['inputs']['imgs']
    assert imgs.shape == (2, 2, 3, 64, 64) and imgs.dtype == torch.float32
    for b, v in np.ndindex(2, 2):
        image = frames[b]['inputs']['img'][v].numpy().astype(float)
        image = image[::-1] if bgr_to_rgb else image
        height, width = image.shape[1:]
        expected = (image - np.array(MEAN)[:, None, None]) / np.array(STD)[:, None, None]
        np.testing.assert_allclose(imgs[b, v, :, :height, :width], expected, rtol=1e-6)
        assert not imgs[b, v, :, height:].any() and not imgs[b, v, :, :, width:].any()


def test_clouds_are_stacked():
    frames = [frame([(8, 8)]), frame([(8, 8)], name='bb')]
    inputs = PairedDataPreprocessor()(pseudo_collate(frames))['inputs']
    for b in range(2):
        torch.testing.assert_close(inputs['points'][b], frames[b]['inputs']['points'])
        torch.testing.assert_close(inputs['points_aug'][b], frames[b]['inputs']['points'] + 1)


def test_another_number_of_points_is_refused():
    with pytest.raises(ValueError,
                       match=r'\(5, 4\) from a.bin; \(6, 4\) from b.bin. Add SamplePoints'):
        PairedDataPreprocessor()(pseudo_collate([frame([(8, 8)]), frame([(8, 8)], 6, 'b')]))


def test_statistics_are_no_part_of_a_checkpoint_but_follow_the_device():
    preprocessor = PairedDataPreprocessor()
    assert not preprocessor.state_dict()
    assert {name for name, _ in preprocessor.named_buffers()} == {'mean', 'std'}
