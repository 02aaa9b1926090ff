"""Points behind nearer surfaces: brute force, scenes whose answer is known, real frames."""
import numpy as np
import pytest
import torch

from simipu import geometry as g

SHAPE = (240, 400)
FOCAL = 300.0
CAMERA = np.array([[FOCAL, 0, 199.5, 0], [0, FOCAL, 119.5, 0], [0, 0, 1, 0], [0, 0, 0, 1.]])
AXES = np.array([[0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1.]])
LIDAR2IMG = torch.from_numpy(CAMERA @ AXES @ g.translation_matrix([-0.3, 0, 0.6]))  # LiDAR above


def scan(surfaces, elevations=np.radians(np.arange(-40, 20, 1.0)),
         azimuths=np.radians(np.arange(-40, 40, 0.4))):
    """First hits (N, 3) of rays from the origin, and the surface (N,) that each hit.

    A surface is a function from directions (R, 3) to distances, infinite where it is missed.
    """
    elevation, azimuth = (grid.ravel() for grid in np.meshgrid(elevations, azimuths))
    rays = np.stack([np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth),
                     np.sin(elevation)], axis=1)
    distances = np.stack([surface(np.zeros(3), rays) for surface in surfaces])
    hit = np.isfinite(distances.min(axis=0))
    return rays[hit] * distances.min(axis=0)[hit, None], distances.argmin(axis=0)[hit]


def panel(x, y_range, z_range):
    """A board across the road."""
    def distance(origin, rays):
        with np.errstate(divide='ignore', invalid='ignore'):
            steps = (x - origin[0]) / rays[:, 0]
            place = origin + steps[:, None] * rays
        on_board = ((place[:, 1] > y_range[0]) & (place[:, 1] < y_range[1])
                    & (place[:, 2] > z_range[0]) & (place[:, 2] < z_range[1]) & (steps > 0))
        return np.where(on_board, steps, np.inf)
    return distance


def ground(origin, rays):
    with np.errstate(divide='ignore'):
        steps = (-2.2 - origin[2]) / rays[:, 2]
    return np.where((steps > 0) & (steps < 30), steps, np.inf)


def found_hidden(points, occlusion=g.Occlusion(), lidar2img=LIDAR2IMG, shape=SHAPE):
    pixels, depth = g.project(torch.from_numpy(points), lidar2img)
    shape = torch.tensor(shape)
    mask = g.hidden(pixels, depth, pixels, depth, shape, occlusion)
    return mask.numpy(), g.visible(pixels, depth, shape).numpy()


def test_background_behind_a_board_is_hidden_from_the_camera_below_the_lidar():
    board = panel(6.0, (-1.5, 1.5), (-2.2, -0.4))
    points, surface = scan([board, panel(25.0, (-20, 20), (-3, 8))])
    camera = np.array([0.3, 0, -0.6])
    to_point = points - camera
    truly = (surface == 1) & np.isfinite(board(camera, to_point)) & (board(camera, to_point) < 1)
    hidden, inside = found_hidden(points, g.Occlusion())
    truly, hidden = truly[inside], hidden[inside]
    assert truly.sum() > 50
    assert (hidden & truly).sum() > 0.8 * truly.sum()
    assert (hidden & ~truly).sum() < 0.05 * truly.sum()


def test_no_point_of_one_surface_is_hidden_however_slanted():
    for surfaces in ([ground], [panel(12.0, (-30, 30), (-3, 5)), ground]):
        points, _ = scan(surfaces)
        hidden, inside = found_hidden(points)
        assert inside.sum() > 500
        assert hidden.sum() == 0
    beside = g.rotation_matrix(np.radians(80), 'z')[:3, :3]  # a wall along the road
    points = scan([panel(12.0, (-30, 30), (-3, 5))])[0] @ beside.T - [0, 8, 0]
    hidden, inside = found_hidden(points)
    assert inside.sum() > 100 and hidden.sum() == 0


def brute_force(pixels, depth, img_shape, occlusion):
    """The docstring of ``hidden``, point by point."""
    inside = [-0.5 <= u < img_shape[1] - 0.5 and -0.5 <= v < img_shape[0] - 0.5 and d >= g.MIN_DEPTH
              for (u, v), d in zip(pixels, depth)]
    cells = np.floor((pixels + 0.5) / occlusion.cell)
    reach = round(occlusion.window / occlusion.cell)
    result = []
    for i in range(len(pixels)):
        limit = depth[i] - occlusion.tolerance - occlusion.relative_tolerance * depth[i]
        covered = 0
        for side in ((-1, -1), (-1, 1), (1, -1), (1, 1)):
            for j in range(len(pixels)):
                away = (cells[j] - cells[i]) * side
                if inside[j] and (away >= 0).all() and (away <= reach).all() and depth[j] < limit:
                    covered += 1
                    break
        result.append(inside[i] and covered == 4)
    return np.array(result)


@pytest.mark.parametrize('occlusion', [
    g.Occlusion(), g.Occlusion(cell=8, window=8, tolerance=2, relative_tolerance=0),
    g.Occlusion(cell=3, window=30, tolerance=0, relative_tolerance=0.3)])
def test_equals_brute_force_in_a_batch_of_images_of_different_size(occlusion):
    rng = np.random.default_rng(0)
    shapes = np.array([[[30, 60], [41, 37]]] * 2)
    pixels = rng.uniform(-10, 70, (2, 2, 150, 2))
    depth = rng.uniform(-2, 30, (2, 2, 150))
    arguments = [torch.from_numpy(array) for array in (pixels, depth, pixels, depth, shapes)]
    found = g.hidden(*arguments, occlusion).numpy()
    for index in np.ndindex(2, 2):
        expected = brute_force(pixels[index], depth[index], shapes[index], occlusion)
        assert 0 < expected.sum() < 100
        np.testing.assert_array_equal(found[index], expected)


def test_autocast_changes_nothing():
    points, _ = scan([panel(6.0, (-1.5, 1.5), (-2.2, -0.4)), panel(25.0, (-20, 20), (-3, 8))])
    arguments = [torch.from_numpy(points)[None], LIDAR2IMG[None, None], torch.eye(4)[None, None],
                 torch.tensor([[SHAPE]]), torch.tensor([[SHAPE]])]

    def seen():
        return g.project_to_cameras(*arguments, cloud=arguments[0], occlusion=g.Occlusion())[2]

    expected = seen()
    assert expected.sum() < g.project_to_cameras(*arguments)[2].sum()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        assert torch.equal(seen(), expected)
