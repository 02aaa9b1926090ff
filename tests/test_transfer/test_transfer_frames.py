"""Labelled frames: every label against the brightness that made it, and against numpy on real frames."""
import mmengine
import numpy as np
import pytest
import torch
from mmengine.config import Config

from simipu.datasets.converters import create_kitti_infos
from simipu.engine.launch import with_data_root
from simipu.errors import DataError
from simipu.evaluation.transfer import load_depth_frames


def brightness_at(item) -> np.ndarray:
    """Brightness of an image at its labelled pixels, between pixels by hand."""
    gray = item.image[0].double().numpy()
    u, v = item.pixels.numpy().T
    column, row = (np.clip(np.floor(x).astype(int), 0, size - 2)
                   for x, size in zip((u, v), gray.shape[::-1]))
    right, down = u - column, v - row
    return ((1 - right) * (1 - down) * gray[row, column] + right * (1 - down) * gray[row, column + 1]
            + (1 - right) * down * gray[row + 1, column] + right * down * gray[row + 1, column + 1])


def test_labels_lie_where_the_image_shows_their_depth(bright_frames, bright_depth):
    assert len(bright_frames) == 12
    for item in bright_frames:
        assert item.image.shape == (3, 32, 96) and len(item.depth) > 200
        # Outside the outermost pixel centres brightness cannot be read.
        inner = ((item.pixels > 0) & (item.pixels < torch.tensor([95, 31]))).all(1).numpy()
        expected = bright_depth(brightness_at(item))
        np.testing.assert_allclose(item.depth.numpy()[inner], expected[inner], rtol=0.01)


def test_flipped_labels_stay_at_their_place(bright_frames):
    item = next(iter(bright_frames))
    mirrored = item.flipped()
    assert torch.equal(mirrored.image, item.image.flip(2)) and not torch.equal(mirrored.image, item.image)
    inner = ((item.pixels > 0) & (item.pixels < torch.tensor([95, 31]))).all(1)
    np.testing.assert_allclose(brightness_at(mirrored)[inner], brightness_at(item)[inner], atol=1e-9)
    torch.testing.assert_close(mirrored.flipped().pixels, item.pixels)


def test_range_rows_and_repetition(bright_cfg):
    frames = load_depth_frames(bright_cfg, [3, 5], depth_range=(10, 20), rows_per_image=20)
    assert [item.frame for item in frames] == [3, 5]
    assert ((frames.depth >= 10) & (frames.depth <= 20)).all()
    assert max(len(item.depth) for item in frames) <= 20
    again = load_depth_frames(bright_cfg, [5, 3], depth_range=(10, 20), rows_per_image=20)
    for item, other in zip(frames, again.of([3, 5])):
        assert torch.equal(item.pixels, other.pixels) and torch.equal(item.depth, other.depth)
    with pytest.raises(DataError, match='no LiDAR point at 70 to 80 m'):
        load_depth_frames(bright_cfg, [0], depth_range=(70, 80))


def test_a_frame_that_another_stands_in_for_is_refused(bright_cfg, tmp_path):
    """With on_bad_frame='skip' a broken frame would be a double of one that may be scored."""
    dataset = bright_cfg.val_dataloader.dataset
    data = mmengine.load(f'{dataset.data_root}/val.pkl')
    data['data_list'] = data['data_list'][:2]
    (tmp_path / 'broken.bin').write_bytes(b'')
    data['data_list'][1]['lidar_points']['lidar_path'] = str(tmp_path / 'broken.bin')
    mmengine.dump(data, tmp_path / 'infos.pkl')
    dataset.update(ann_file=str(tmp_path / 'infos.pkl'), on_bad_frame='skip', max_bad_share=1.0)
    with pytest.raises(DataError, match="loaded for frame 0 and for frame 1.*on_bad_frame='error'"):
        load_depth_frames(bright_cfg)


def test_normalised_batches_equal_numpy(bright_frames):
    items = bright_frames.images[:2]
    imgs = bright_frames.normalised(items).cpu()
    rgb = items[1].image.numpy()[::-1].transpose(1, 2, 0)
    expected = (rgb - np.array([123.675, 116.28, 103.53])) / np.array([58.395, 57.12, 57.375])
    np.testing.assert_allclose(imgs[1].permute(1, 2, 0).numpy(), expected, atol=1e-5)


def test_real_kitti_labels_are_the_raw_points(real_data, tmp_path):
    """Pixel and depth of every label against the raw sweep, projected in numpy at the image's own size."""
    create_kitti_infos(real_data / 'kitti', tmp_path)
    cfg = with_data_root(Config.fromfile('configs/simipu_kitti.py'), str(real_data / 'kitti'))
    cfg.val_dataloader.dataset.ann_file = str(tmp_path / 'simipu_infos_train.pkl')
    item, = load_depth_frames(cfg, [1])
    folder = real_data / 'kitti/training'
    lines = (folder / 'calib/000001.txt').read_text().splitlines()
    calib = {line.split(':')[0]: np.array(line.split()[1:], float) for line in lines if line.strip()}
    points = np.fromfile(folder / 'velodyne/000001.bin', np.float32).reshape(-1, 4)[:, :3].astype(float)
    rectified = calib['R0_rect'].reshape(3, 3) @ calib['Tr_velo_to_cam'].reshape(3, 4)
    camera = np.c_[points, np.ones(len(points))] @ rectified.T
    homogeneous = np.c_[camera, np.ones(len(camera))] @ calib['P2'].reshape(3, 4).T
    image = item.image.shape
    scale = np.array([image[2] / 1242, image[1] / 375])
    pixels = (homogeneous[:, :2] / homogeneous[:, 2:] + 0.5) * scale - 0.5
    assert len(item.depth) == 256
    for pixel, depth in zip(item.pixels.numpy(), item.depth.numpy()):
        nearest = np.abs(np.c_[pixels - pixel, homogeneous[:, 2] - depth]).max(1).min()
        assert nearest < 1e-2
