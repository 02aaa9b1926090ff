"""The loader's kernels decide as the functions that they replace there, to the last bit."""
import numpy as np
import torch
from mmdet3d.structures import LiDARPoints

from simipu.datasets.transforms.point_kernels import rows_in_range, seen_by_a_camera
from simipu.geometry import crop_matrix, flip_matrix, image_rotation_matrix, project_to_cameras, resize_matrix


def cloud(rng, num_points: int = 20000) -> np.ndarray:
    return rng.uniform(-40, 40, (num_points, 4)).astype(np.float32)


def random_rig(rng, num_cameras: int) -> list[np.ndarray]:
    """float32 matrices and sizes of cameras whose images are turned, cropped, flipped, resized and shifted."""
    ori_shape = rng.integers(100, 400, (num_cameras, 2))
    img_shape = rng.integers(50, 400, (num_cameras, 2))
    lidar2img, augmentations = np.stack([np.eye(4)] * num_cameras), []
    for camera, (height, width) in enumerate(ori_shape):
        rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
        intrinsics = np.array([[300, 0, width / 2], [0, 300, height / 2], [0, 0, 1]])
        lidar2img[camera, :3] = intrinsics @ np.c_[rotation, rng.normal(size=3)]
        matrix = (crop_matrix(*rng.uniform(0, 30, 2)) @ flip_matrix(width) @ resize_matrix(*rng.uniform(0.5, 2, 2))
                  @ image_rotation_matrix(rng.uniform(-0.3, 0.3), height, width))
        matrix[:2, 3] = rng.uniform(-5, 5, 2)  # BEVFusion's form of a shift
        augmentations.append(matrix)
    return [np.asarray(array, np.float32) for array in (lidar2img, augmentations, ori_shape, img_shape)]


def test_points_seen_are_those_that_project_to_cameras_calls_visible():
    rng, num_seen = np.random.default_rng(0), 0
    for num_cameras in (1, 2, 5) * 4:
        points, rig = cloud(rng), random_rig(rng, num_cameras)
        *_, visible = project_to_cameras(torch.from_numpy(points[None, :, :3]),
                                         *(torch.from_numpy(array)[None] for array in rig))
        expected = visible[0].any(dim=0).numpy()
        np.testing.assert_array_equal(seen_by_a_camera(points, *rig), expected)
        num_seen += expected.sum()
    assert num_seen > 10_000


def test_borders_of_the_image_belong_to_it_as_in_project_to_cameras():
    """A camera along z at 1 m, whose pixels are x and y."""
    rig = [np.eye(4, dtype=np.float32)[None]] * 2 + [np.float32([[8, 10]])] * 2
    edges = np.float32([[-0.5, 0], [9.5, 0], [0, -0.5], [0, 7.5], [9.4, 7.4]])
    points = np.c_[edges, np.ones((5, 2), np.float32)]
    assert seen_by_a_camera(points, *rig).tolist() == [True, False, True, False, True]
    near = np.float32([[0, 0, 0.1, 0], [0, 0, np.nextafter(np.float32(0.1), np.float32(0)), 0], [0, 0, -1, 0]])
    assert seen_by_a_camera(near, *rig).tolist() == [True, False, False]


def test_rows_in_range_are_those_of_mmdet3d():
    points = cloud(np.random.default_rng(0))
    limits = np.float32([-20, -10, -3, 20, 30, 2])
    points[:6, :3] = [limits[:3], limits[3:], [0, 0, 0], [np.nan, 0, 0], [-20, 0, 0], [0, 30, 0]]
    inside = LiDARPoints(torch.from_numpy(points), points_dim=4).in_range_3d(limits).numpy()
    np.testing.assert_array_equal(rows_in_range(points, limits), np.flatnonzero(inside))
    assert 200 < inside.sum() < 500
