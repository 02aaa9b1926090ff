"""Depth maps from LiDAR against loops and against the same operations on arrays."""
import numpy as np
import pytest
import torch

pytest.importorskip('mmseg', reason='needs requirements/depth.txt')
from mmdet3d.structures import LiDARPoints

from simipu.datasets.transforms import CropImages, FlipImages
from simipu.downstream.depth import PackLidarDepth, lidar_depth_map
from simipu.errors import DataError

HEIGHT, WIDTH = 40, 60
# LiDAR x forward, y left, z up to pixels, focal length 30, principal point in the middle.
LIDAR2IMG = np.array([[WIDTH / 2, -30, 0, 0], [HEIGHT / 2, 0, -30, 0], [1, 0, 0, 0], [0, 0, 0, 1.0]])


@pytest.fixture
def frame():
    rng = np.random.default_rng(0)
    points = rng.uniform([-5, -15, -8, 0], [40, 15, 8, 1], (4000, 4)).astype(np.float32)
    image = rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    return dict(points=LiDARPoints(points, points_dim=4), img=[image], img_path=['image.png'],
                lidar_path='cloud.bin', lidar2img=LIDAR2IMG[None], img_aug_matrix=np.eye(4)[None],
                ori_shape=[image.shape[:2]], img_shape=[image.shape[:2]])


def test_nearest_point_of_a_pixel_counts():
    rng = np.random.default_rng(1)
    pixels = rng.uniform([-0.5, -0.5], [4.5, 2.5], (60, 2))
    depth = rng.uniform(1, 50, 60)
    expected = np.zeros((4, 6))
    for (u, v), value in zip(pixels, depth):
        row, column = round(v), round(u)
        if not expected[row, column] or value < expected[row, column]:
            expected[row, column] = value
    found = lidar_depth_map(torch.from_numpy(pixels), torch.from_numpy(depth), (4, 6))
    np.testing.assert_array_equal(found, expected)
    assert (expected[3] == 0).all()


def test_map_shows_the_points_in_front_and_inside(frame):
    points = frame['points'].coord.double().numpy()
    packed = PackLidarDepth().transform(frame)
    found = packed['data_samples'].gt_depth_map.data
    assert packed['inputs'].shape == (3, HEIGHT, WIDTH) and packed['inputs'].dtype == torch.uint8
    assert found.shape == (1, HEIGHT, WIDTH) and found.dtype == torch.float32
    expected = {}
    for x, y, z in points:
        if x >= 0.1:
            key = round(HEIGHT / 2 - 30 * z / x), round(WIDTH / 2 - 30 * y / x)
            expected[key] = min(x, expected.get(key, np.inf))
    inside = {(row, column): depth for (row, column), depth in expected.items()
              if 0 <= row < HEIGHT and 0 <= column < WIDTH}
    assert len(inside) > 300 and np.count_nonzero(found) == len(inside)
    for (row, column), depth in inside.items():
        assert found[0, row, column] == pytest.approx(depth)


def test_depth_goes_with_the_image(frame):
    """Cropped and flipped frames have the cropped and flipped map."""
    whole = PackLidarDepth().transform(dict(frame, img=[*frame['img']]))
    for transform in (CropImages((32, 20), mode='center'), FlipImages(prob=1)):
        frame = transform(frame)
    packed = PackLidarDepth().transform(frame)
    cut = np.s_[..., 10:30, 14:46]
    expected = whole['data_samples'].gt_depth_map.data[cut].flip(-1)
    assert expected.count_nonzero() > 100
    torch.testing.assert_close(packed['data_samples'].gt_depth_map.data, expected)
    torch.testing.assert_close(packed['inputs'], whole['inputs'][cut].flip(-1))
    assert packed['data_samples'].ori_shape == packed['data_samples'].img_shape == (20, 32)


def test_hidden_points_are_left_out_if_asked_for(frame):
    """A wall of points at 5 m, three pixels apart, in front of all others."""
    y, z = np.meshgrid(np.linspace(-6, 6, 25), np.linspace(-4, 4, 17))
    wall = np.stack([np.full(y.size, 5.0), y.ravel(), z.ravel(), y.ravel() * 0], axis=1)
    cloud = np.concatenate([frame['points'].tensor.numpy(), wall]).astype(np.float32)
    frame['points'] = LiDARPoints(cloud, points_dim=4)
    maps = [PackLidarDepth(occlusion).transform(dict(frame))['data_samples'].gt_depth_map.data
            for occlusion in (None, dict())]
    middle = np.s_[0, 10:30, 10:50]
    assert (maps[0][middle] > 6).any() and not (maps[1][middle] > 6).any()


def test_several_cameras_are_refused(frame):
    frame['img'] = frame['img'] * 2
    with pytest.raises(ValueError, match='frames of one camera, not 2; put SampleCameras'):
        PackLidarDepth().transform(frame)


def test_frame_without_depth_is_refused(frame):
    frame['points'] = frame['points'][frame['points'].tensor[:, 0] < 0]
    with pytest.raises(DataError, match=r'cloud\.bin: none of its \d+ points is in image\.png as augmented'):
        PackLidarDepth().transform(frame)
