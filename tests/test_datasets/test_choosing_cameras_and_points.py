"""Which cameras and which points of a frame are used."""
import numpy as np
import pytest
import torch
from mmdet3d.registry import TRANSFORMS
from mmdet3d.structures import LiDARPoints

from simipu.errors import DataError

CAMERA = np.array([[40, 0, 20, 0], [0, 40, 10, 0], [0, 0, 1, 0], [0, 0, 0, 1.]])
AXES = np.array([[0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1.]])


def cameras(count: int = 6) -> dict:
    return dict(cam_names=[f'cam{i}' for i in range(count)], lidar_path='a.bin',
                img_path=[f'{i}.png' for i in range(count)],
                img_size=[(10 + i, 20) for i in range(count)],
                lidar2img=np.stack([np.eye(4) * i for i in range(count)]))


def test_sampled_cameras_keep_together_what_belongs_together():
    transform = TRANSFORMS.build(dict(type='SampleCameras', num_cameras=2))
    np.random.seed(0)
    counts = np.zeros(6)
    for _ in range(120):
        results = transform(cameras())
        chosen = [int(name[3:]) for name in results['cam_names']]
        assert len(set(chosen)) == 2 and chosen == sorted(chosen)
        assert results['img_path'] == [f'{i}.png' for i in chosen]
        assert results['img_size'] == [(10 + i, 20) for i in chosen]
        np.testing.assert_array_equal(results['lidar2img'][:, 0, 0], chosen)
        counts[chosen] += 1
    assert counts.min() > 20
    with pytest.raises(DataError, match=r'a.bin: SampleCameras wants 2 cameras.*1 \(cam0\)'):
        transform(cameras(1))
    with pytest.raises(ValueError, match='before LoadPairedImages'):
        transform(dict(cameras(), img=[]))


def sweep(num_points: int = 4000) -> dict:
    """Points all around; the camera looks along x."""
    points = np.random.default_rng(0).uniform(-20, 20, (num_points, 4)).astype(np.float32)
    return dict(points=LiDARPoints(torch.from_numpy(points), points_dim=4),
                lidar2img=(CAMERA @ AXES)[None], img_aug_matrix=np.eye(4)[None],
                ori_shape=[(20, 40)], img_shape=[(20, 40)])


def in_image(points: np.ndarray) -> np.ndarray:
    u, v = 20 - 40 * points[:, 1] / points[:, 0], 10 - 40 * points[:, 2] / points[:, 0]
    return (points[:, 0] > 0.1) & (u >= -0.5) & (u < 39.5) & (v >= -0.5) & (v < 19.5)


@pytest.mark.parametrize('num_points, wanted, expected', [
    (100, 0.0, None),  # as they come
    (80, 0.6, 48),
    (80, 1.0, 80),
    (1000, 0.9, 'all'),  # the cloud has not so many
])
def test_enough_of_the_sampled_points_are_visible(num_points, wanted, expected):
    np.random.seed(1)
    results = sweep()
    available = int(in_image(results['points'].tensor.numpy()).sum())
    assert 50 < available < 200
    points = TRANSFORMS.build(dict(type='SamplePoints', num_points=num_points,
                                   visible_share=wanted))(results)['points'].tensor.numpy()
    assert len(np.unique(points, axis=0)) == num_points
    visible = int(in_image(points).sum())
    if expected is None:
        assert visible < 15
    else:
        expected = available if expected == 'all' else expected
        assert expected <= visible <= expected + 3  # the rest of the sample may hold a few


def test_points_are_chosen_for_the_images_as_augmented_so_far():
    np.random.seed(1)
    results = sweep()
    results['img_shape'] = [(20, 10)]  # a crop of the left quarter
    points = TRANSFORMS.build(dict(type='SamplePoints', num_points=20,
                                   visible_share=1.0))(results)['points'].tensor.numpy()
    assert in_image(points).all() and (20 - 40 * points[:, 1] / points[:, 0] < 9.5).all()


def test_a_share_that_is_none_is_refused():
    with pytest.raises(ValueError, match='visible_share must be in 0..1, not 50'):
        TRANSFORMS.build(dict(type='SamplePoints', num_points=20, visible_share=50))
