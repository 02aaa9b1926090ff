"""Geometry against closed forms, OpenCV and brute force."""
import cv2
import numpy as np
import pytest
import torch

from simipu import geometry as g

CAMERA_FROM_LIDAR = np.array([[0, -1, 0, 0.1], [0, 0, -1, -0.2], [1, 0, 0, -0.3], [0, 0, 0, 1.]])
INTRINSICS = np.array([[700., 0, 600, 0], [0, 710, 180, 0], [0, 0, 1, 0], [0, 0, 0, 1]])


def tensor(array) -> torch.Tensor:
    return torch.as_tensor(np.asarray(array), dtype=torch.float64)


def move_pixel(matrix: np.ndarray, u: float, v: float) -> np.ndarray:
    """The pixel that an image matrix moves (u, v) to, whatever the depth."""
    moved = [matrix @ [u * depth, v * depth, depth, 1] for depth in (1., 7.)]
    pixels = [m[:2] / m[2] for m in moved]
    np.testing.assert_allclose(pixels[0], pixels[1], atol=1e-9)
    return pixels[0]


def test_project_closed_form():
    point = np.array([10., 2, -1])
    pixels, depth = g.project(tensor([point]), tensor(INTRINSICS @ CAMERA_FROM_LIDAR))
    x, y, z = -2 + 0.1, 1 - 0.2, 10 - 0.3
    np.testing.assert_allclose(depth, [z])
    np.testing.assert_allclose(pixels, [[700 * x / z + 600, 710 * y / z + 180]])


def test_project_agrees_with_opencv():
    points = np.random.default_rng(0).uniform([2, -20, -2], [60, 20, 3], (50, 3))
    rotation, _ = cv2.Rodrigues(CAMERA_FROM_LIDAR[:3, :3])
    expected, _ = cv2.projectPoints(
        points, rotation, CAMERA_FROM_LIDAR[:3, 3], INTRINSICS[:3, :3], None)
    pixels, _ = g.project(tensor(points), tensor(INTRINSICS @ CAMERA_FROM_LIDAR))
    np.testing.assert_allclose(pixels, expected[:, 0], atol=1e-6)


def test_project_broadcasts_over_cameras_and_keeps_dtype():
    points, matrices = torch.randn(2, 1, 5, 3), torch.randn(2, 3, 4, 4)
    pixels, depth = g.project(points, matrices)
    assert pixels.shape == (2, 3, 5, 2) and depth.shape == (2, 3, 5)
    assert pixels.dtype == torch.float32
    single, _ = g.project(points[1, 0], matrices[1, 2])
    torch.testing.assert_close(pixels[1, 2], single)


def test_project_is_finite_beside_and_behind_the_camera():
    points = tensor([[0.3, 1, 1], [0.3, 0.1, -0.2], [-5, 1, 1]])
    pixels, depth = g.project(points, tensor(INTRINSICS @ CAMERA_FROM_LIDAR))
    assert torch.isfinite(pixels).all()
    np.testing.assert_allclose(depth, [0, 0, -5.3], atol=1e-12)
    assert not g.visible(pixels, depth, torch.tensor([10**9, 10**9])).any()


def test_visible_bounds_are_half_a_pixel_around_the_image():
    pixels = tensor([[-0.5, 0], [-0.51, 0], [3.49, 0], [3.5, 0], [0, -0.5], [0, 1.49], [0, 1.5]])
    mask = g.visible(pixels, torch.ones(7), torch.tensor([2, 4]))
    assert mask.tolist() == [True, False, True, False, True, True, False]
    assert g.visible(pixels[:1], torch.tensor([0.05]), torch.tensor([2, 4])).tolist() == [False]


def test_project_to_cameras_leaves_out_cropped_padded_and_filled_in_areas():
    lidar2img = tensor(INTRINSICS @ CAMERA_FROM_LIDAR).expand(1, 3, 4, 4)
    # Pixels (u, v) at depth 1 of the original image of 1200 x 370, put back into the LiDAR frame.
    pixels = tensor([[10, 10], [600, 180], [1199, 369], [1250, 180], [600, -50]])
    camera = torch.cat([pixels, torch.ones(5, 2)], 1) @ torch.linalg.inv(tensor(INTRINSICS)).T
    points = (camera @ torch.linalg.inv(tensor(CAMERA_FROM_LIDAR)).T)[None, :, :3]
    augmentations = np.stack([np.eye(4), g.crop_matrix(500, 100), g.crop_matrix(-100, -100)])
    ori_shape = torch.tensor([[[370, 1200]] * 3])
    img_shape = torch.tensor([[[370, 1200], [200, 300], [600, 1500]]])
    moved, depth, mask = g.project_to_cameras(
        points, lidar2img, tensor(augmentations)[None], ori_shape, img_shape)
    assert mask[0].tolist() == [[True, True, True, False, False],
                                [False, True, False, False, False],
                                [True, True, True, False, False]]
    np.testing.assert_allclose(moved[0, 2], pixels + 100, atol=1e-6)
    np.testing.assert_allclose(depth, np.ones((1, 3, 5)))


def bevfusion_matrix(scale: float, flip: bool, angle: float, shift: tuple[float, float]) -> np.ndarray:
    """(4, 4) in the form of BEVFusion's ``ImageAug3D``: pixels are ``linear @ pixel + column 3``."""
    matrix = np.eye(4)
    rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    matrix[:2, :2] = rotation @ np.diag([-scale if flip else scale, scale])
    matrix[:2, 3] = shift
    return matrix


@pytest.mark.parametrize('augmentation', [
    (0.48, False, 0.0, (0.0, -176.0)), (0.48, True, 0.0, (704.0, -176.0)),
    (0.6, False, 0.09, (-20.0, 3.0)), (1.3, True, -0.05, (900.0, 40.0))], ids=str)
@pytest.mark.parametrize('after', [np.eye(4), g.resize_matrix(0.5, 0.25), g.flip_matrix(300)])
def test_image_matrices_of_bevfusion_shift_pixels_after_the_division(augmentation, after):
    """Alone, and with a transform of this package multiplied in."""
    points = np.random.default_rng(0).uniform([5, -20, -2], [60, 20, 3], (50, 3))
    homogeneous = np.c_[points, np.ones(50)] @ (INTRINSICS @ CAMERA_FROM_LIDAR).T
    original = homogeneous[:, :2] / homogeneous[:, 2:3]
    matrix = bevfusion_matrix(*augmentation)
    expected = original @ matrix[:2, :2].T + matrix[:2, 3]
    expected = expected @ after[:2, :2].T + after[:2, 2]
    shape = torch.full((1, 1, 2), 10000)
    pixels, _, _ = g.project_to_cameras(
        tensor(points)[None], tensor(INTRINSICS @ CAMERA_FROM_LIDAR)[None, None],
        tensor(after @ matrix)[None, None], shape, shape)
    np.testing.assert_allclose(pixels[0, 0], expected, atol=1e-6)


def brute_force_bilinear(feature_map: np.ndarray, x: float, y: float) -> np.ndarray:
    height, width = feature_map.shape[-2:]
    x, y = np.clip(x, 0, width - 1), np.clip(y, 0, height - 1)
    x0, y0 = int(np.floor(x)), int(np.floor(y))
    value = 0
    for xi, wx in ((x0, 1 - (x - x0)), (x0 + 1, x - x0)):
        for yi, wy in ((y0, 1 - (y - y0)), (y0 + 1, y - y0)):
            if wx * wy > 0:
                value = value + wx * wy * feature_map[:, yi, xi]
    return value


def test_sample_features_against_brute_force():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(2, 3, 4, 6))
    input_shape = (64, 192)  # stride 16 down, 32 across
    pixels = rng.uniform([-20, -20], [210, 80], (2, 40, 2))
    sampled = g.sample_features(tensor(features), tensor(pixels), input_shape)
    assert sampled.shape == (2, 40, 3) and sampled.dtype == torch.float64
    for b in range(2):
        for n, (u, v) in enumerate(pixels[b]):
            expected = brute_force_bilinear(features[b], (u + 0.5) / 32 - 0.5, (v + 0.5) / 16 - 0.5)
            np.testing.assert_allclose(sampled[b, n], expected, atol=1e-12)


def test_sample_features_keeps_coordinates_precise_for_half_precision_maps():
    ramp = torch.arange(64.).expand(1, 1, 2, 64)
    pixels = torch.tensor([[[1001.3, 8.]]])
    sampled = g.sample_features(ramp.bfloat16(), pixels, (32, 1024))
    assert sampled.item() == pytest.approx(1001.8 / 16 - 0.5, abs=1e-3)


def test_sample_features_gradient():
    features = torch.randn(1, 2, 3, 4, dtype=torch.float64, requires_grad=True)
    pixels = tensor([[[3., 5], [20, 10]]])
    assert torch.autograd.gradcheck(lambda f: g.sample_features(f, pixels, (24, 32)), (features,))


def test_image_matrices_closed_forms():
    np.testing.assert_allclose(move_pixel(g.resize_matrix(2, 3), 0, 0), [0.5, 1])
    np.testing.assert_allclose(move_pixel(g.resize_matrix(0.5, 0.5), 0.5, 0.5), [0, 0])
    np.testing.assert_allclose(move_pixel(g.crop_matrix(30, 4), 35, 4), [5, 0])
    np.testing.assert_allclose(move_pixel(g.flip_matrix(100), 0, 7), [99, 7])
    quarter = g.image_rotation_matrix(np.pi / 2, 50, 100)
    np.testing.assert_allclose(move_pixel(quarter, 49.5 + 10, 24.5), [49.5, 24.5 + 10])


@pytest.mark.parametrize('size', [(30, 21), (90, 63), (47, 80)])
def test_resize_matrix_is_that_of_opencv(size):
    """Bilinear interpolation keeps a linear ramp, so each new pixel tells where it came from."""
    width, height = 60, 42
    ramp = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float32)
    resized = cv2.resize(ramp, size)
    inverse = g.invert_matrix(g.resize_matrix(size[0] / width, size[1] / height), 'resize')
    for u, v in ((3, 4), (size[0] // 2, size[1] // 2), (size[0] - 4, size[1] - 4)):
        np.testing.assert_allclose(resized[v, u], move_pixel(inverse, u, v), atol=1e-3)


def test_point_matrices_closed_forms():
    point = tensor([[1., 2, 3]])
    for matrix, expected in (
            (g.rotation_matrix(np.pi / 2, 'z'), [-2, 1, 3]),
            (g.rotation_matrix(np.pi / 2, 'x'), [1, -3, 2]),
            (g.rotation_matrix(np.pi / 2, 'y'), [3, 2, -1]),
            (g.scaling_matrix(2), [2, 4, 6]),
            (g.mirror_matrix('y'), [1, -2, 3]),
            (g.translation_matrix([1, 0, -1]), [2, 2, 2]),
            (g.about_centre(g.scaling_matrix(2), [1, 1, 1]), [1, 3, 5])):
        moved = g.transform_points(point, tensor(matrix))
        np.testing.assert_allclose(moved, [expected], atol=1e-12)


def test_transform_round_trip():
    matrix = g.about_centre(
        g.mirror_matrix('y') @ g.scaling_matrix(1.2) @ g.rotation_matrix(0.7), [35.2, 0, -1])
    points = torch.randn(2, 9, 3, dtype=torch.float64) * 30
    there = g.transform_points(points, tensor(matrix))
    back = g.transform_points(there, g.invert_matrix(tensor(matrix), 'm'))
    torch.testing.assert_close(back, points)
    assert (there - points).abs().max() > 1


@pytest.mark.parametrize('as_tensor', [False, True])
@pytest.mark.parametrize('broken, found', [(np.diag([1., 1, 0, 1]), 'singular'),
                                           (np.diag([1., np.nan, 1, 1]), 'NaN')])
def test_invert_matrix_names_the_matrix_that_has_no_inverse(broken, found, as_tensor):
    with pytest.raises(ValueError, match=f'R0_rect .*{found}'):
        g.invert_matrix(tensor(broken) if as_tensor else broken, 'R0_rect')


def test_to_4x4():
    np.testing.assert_array_equal(g.to_4x4(np.full((3, 4), 2.))[3], [0, 0, 0, 1])
    np.testing.assert_array_equal(g.to_4x4(np.eye(3)), np.eye(4))
    with pytest.raises(ValueError, match=r'\(2, 2\)'):
        g.to_4x4(np.eye(2))


@pytest.mark.parametrize('far', [5.4e6, 6.4e9, 0.0])
def test_a_long_translation_is_not_singular(far):
    matrix = g.rotation_matrix(0.3, 'x') @ g.rotation_matrix(2.0)
    matrix[:3, 3] = far, -far, 100
    inverse = g.invert_matrix(matrix, 'pose')
    np.testing.assert_allclose(inverse[:3, :3], matrix[:3, :3].T, atol=1e-12)
    np.testing.assert_allclose(g.camera_centre(matrix), -matrix[:3, :3].T @ matrix[:3, 3], rtol=1e-12)
    stacked = np.stack([matrix, np.diag([1.0, 1, 0, 1])])
    with pytest.raises(ValueError, match='poses is singular'):
        g.check_invertible(stacked, 'poses')


@pytest.mark.parametrize('factor', [3.0, 1e-4, 1.01])
def test_depth_is_normalized(factor):
    projection = np.diag([500.0, 500, 1, 1]) @ g.rotation_matrix(0.4, 'y')
    np.testing.assert_allclose(g.normalize_depth(factor * projection), projection, rtol=1e-12)
    assert g.normalize_depth(projection) is projection
