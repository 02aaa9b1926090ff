"""Whole pictures of what a model has learnt, through the package and through the tool."""
import runpy
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate

from simipu.errors import CheckpointError
from simipu.visualization import (
    FrameFeatures,
    build_model,
    build_split,
    choose_query,
    depth_colours,
    extract_frame,
    fit_depth_probe,
)
from simipu.visualization.model_sheet import draw_probe_depth, draw_retrieval

TOOL = Path(__file__).resolve().parents[2] / 'tools' / 'visualize.py'


@pytest.fixture(scope='module')
def planted():
    """One camera of 64 x 32 pixels, cells of 8: the feature of a cell is the log of its depth.

    Eight points in eight cells; point and pixel embeddings agree but for points 0 and 1, each of
    which is more like the other's pixel than like its own.
    """
    point_embedding = torch.eye(32)[8:16]
    point_embedding[:2] = point_embedding[[1, 0]] + 0.5 * point_embedding[[0, 1]]
    log_depth = torch.linspace(1, 3, 32).reshape(1, 1, 4, 8)
    columns = np.arange(8)
    pixels = np.stack([columns * 8 + 3.5, np.full(8, 11.5)], axis=1)
    cells = torch.eye(32).reshape(1, 4, 8, 32)
    return FrameFeatures(
        name='frame 0: made up',
        cam_names=['FRONT'],
        images=[np.full((32, 64, 3), 90, np.uint8)],
        input_shape=(32, 64),
        feature_map=torch.cat([log_depth, cells.permute(0, 3, 1, 2)], dim=1),
        cell_embedding=cells,
        xyz=torch.from_numpy(np.stack([columns, columns, columns], 1)).float(),
        point_embedding=point_embedding,
        pixels=pixels[None],
        depth=log_depth[0, 0, 1].exp().numpy()[None],
        visible=np.ones((1, 8), bool),
        lidar_pixels=[pixels],
        lidar_depth=[np.ones(8)],
        embed_query=lambda features: features[:, 1:])


def test_tool_draws_frames_and_curves(tiny_config, tmp_path, monkeypatch, capsys):
    log = tmp_path / 'work_dir' / '1' / 'vis_data' / 'scalars.json'
    log.parent.mkdir(parents=True)
    log.write_text('{"loss": 2.0, "step": 10}\n{"loss": 1.0, "step": 20}\n')
    monkeypatch.setattr('sys.argv', [
        str(TOOL), str(tiny_config), '--num-frames', '2', '--out-dir', str(tmp_path / 'out'),
        '--pixel', '40', '20', '--log', str(tmp_path / 'work_dir')])
    runpy.run_path(str(TOOL), run_name='__main__')
    paths = capsys.readouterr().out.split()
    assert [Path(path).name for path in paths] == ['curves.png', 'val_000000.png', 'val_000003.png']
    first, second = (cv2.imread(path) for path in paths[1:])
    assert first.shape[0] > 600 and (first.shape != second.shape or (first != second).any())


def test_extracted_frame_agrees_with_what_the_model_validates(tiny_cfg):
    torch.manual_seed(0)
    model, packed = build_model(tiny_cfg), build_split(tiny_cfg, 'val')[0]
    frame = extract_frame(model, packed)
    with torch.no_grad():
        data = model.data_preprocessor(pseudo_collate([packed]))
        sample = model.predict(data['inputs'], data['data_samples'])[0]
    seen = frame.visible[0]
    assert seen.any() and not frame.visible[1].any(), 'the cloud lies ahead'
    torch.testing.assert_close(frame.embed_pixels(0, frame.pixels[0, seen]), sample.image_embedding)
    points = frame.point_embedding[torch.from_numpy(seen)]
    torch.testing.assert_close(points, sample.point_embedding)
    np.testing.assert_allclose(frame.depth[0, seen], sample.pixel_depth, rtol=1e-5)


def test_probe_paints_the_depth_that_was_planted(planted):
    noisy = planted._replace(feature_map=planted.feature_map[:, :1])
    probe = fit_depth_probe([noisy] * 4)
    picture = draw_probe_depth(noisy, 0, probe, width=64)[-32:]
    row = picture[11, 3::8]
    expected = depth_colours(planted.depth[0])
    assert np.abs(row.astype(int) - expected).max() < 12


def test_swapped_points_are_the_two_mistakes(planted):
    picture = draw_retrieval(planted, 0, width=64)[-32:]
    right, wrong = picture[:, :64].astype(int), picture[:, -64:].astype(int)
    is_green = (right[..., 1] - right[..., 2]) > 60
    is_red = (wrong[..., 2] - wrong[..., 1]) > 60
    assert is_green[11, 20:].any() and not is_green[:, :14].any()
    assert is_red[11, 4:12].all() and not is_red[:, 20:].any()


def test_query_is_completed_and_checked(planted):
    middle = choose_query(planted, 0)
    assert middle.point in (3, 4) and (middle.pixel == planted.pixels[0, middle.point]).all()
    assert choose_query(planted, 0, pixel=(50, 10)).point == 6
    np.testing.assert_array_equal(choose_query(planted, 0, point=2).pixel, planted.pixels[0, 2])
    with pytest.raises(ValueError, match='64 x 32 pixels'):
        choose_query(planted, 0, pixel=(64, 10))
    hidden = planted._replace(visible=np.arange(8)[None] < 3)
    with pytest.raises(ValueError, match='it sees 0, 1, 2'):
        choose_query(hidden, 0, point=5)
    with pytest.raises(ValueError, match='sees none'):
        choose_query(planted._replace(visible=np.zeros((1, 8), bool)), 0)
    with pytest.raises(ValueError, match="no camera 'BACK'.*FRONT"):
        planted.camera_index('BACK')


def test_padding_is_left_out_of_the_colours(planted):
    padded = planted._replace(images=[np.zeros((20, 50, 3), np.uint8)])
    inside = padded.cells_in_image(0)
    assert inside.shape == (4, 8) and inside.sum() == 2 * 6, 'centres 4, 12 and 4 ... 44'
    assert inside[1, 5] and not inside[2, 5] and not inside[1, 6]


def test_checkpoint_of_another_model_is_refused(tiny_cfg, tmp_path):
    torch.save(dict(state_dict={'backbone.weight': torch.zeros(2)}), tmp_path / 'other.pth')
    with pytest.raises(CheckpointError, match='other.pth is of another model'):
        build_model(tiny_cfg, str(tmp_path / 'other.pth'))
    model = build_model(tiny_cfg)
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'own.pth')
    again = build_model(tiny_cfg, str(tmp_path / 'own.pth'))
    assert not again.training
    for name, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name
