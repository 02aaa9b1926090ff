"""The ray caster against brute force that shares no code with it."""
import numpy as np
import pytest

from simipu.scenes import Camera, Lidar, random_scene
from simipu.scenes.kernels import BOX, CYLINDER, ELLIPSOID, GROUND_PLANE, SKY, cast_rays, value_noise
from simipu.scenes.primitives import PrimitiveBuilder
from simipu.scenes.view import prepare_view

INSIDE = {
    BOX: lambda p: np.abs(p).max(-1) <= 1,
    ELLIPSOID: lambda p: (p**2).sum(-1) <= 1,
    CYLINDER: lambda p: ((p[..., :2]**2).sum(-1) <= 1) & (np.abs(p[..., 2]) <= 1),
}


def is_inside(solid: np.void, points: np.ndarray) -> np.ndarray:
    """Whether world points (..., 3) are in a solid, from its definition."""
    local = (points - solid['centre']) @ solid['rotation'] / solid['half_size']
    return INSIDE[int(solid['kind'])](local)


def march(solid: np.void, origin: np.ndarray, directions: np.ndarray, reach: float,
          step: float) -> np.ndarray:
    """Distances (N,) at which rays first are inside the solid: small steps, then bisection."""
    steps = np.arange(step, reach, step)
    inside = is_inside(solid, origin + steps[:, None, None] * directions)
    high = np.where(inside.any(0), steps[inside.argmax(0)], np.inf)
    low = high - step
    for _ in range(40):
        middle = (low + high) / 2
        there = is_inside(solid,
                          origin + np.where(np.isfinite(middle), middle, 0)[:, None] * directions)
        high, low = np.where(there, middle, high), np.where(there, low, middle)
    return high


def nearest(primitives: np.ndarray, origin: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """First distances (N,) to solid bodies or the ground, by half-spaces and quadratic forms in numpy."""
    best = np.where(directions[:, 2] < 0, origin[2] / np.maximum(-directions[:, 2], 1e-12), np.inf)
    for solid in primitives:
        turn = solid['rotation'].T / solid['half_size'][:, None]
        o, d = turn @ (origin - solid['centre']), directions @ turn.T
        slabs = {BOX: (0, 1, 2), CYLINDER: (2, ), ELLIPSOID: ()}[int(solid['kind'])]
        tube = {BOX: [], CYLINDER: [0, 1], ELLIPSOID: [0, 1, 2]}[int(solid['kind'])]
        enter, leave = np.full(len(d), -np.inf), np.full(len(d), np.inf)
        with np.errstate(divide='ignore', invalid='ignore'):
            for axis in slabs:
                ends = (np.array([[-1], [1]]) - o[axis]) / d[:, axis]
                enter, leave = np.maximum(enter, ends.min(0)), np.minimum(leave, ends.max(0))
            if tube:
                a, b, c = (d[:, tube]**2).sum(1), d[:, tube] @ o[tube], (o[tube]**2).sum() - 1
                root = np.sqrt(b * b - a * c)  # NaN where missed
                enter, leave = np.maximum(enter,
                                          (-b - root) / a), np.minimum(leave, (-b + root) / a)
        hit = (enter <= leave) & (enter > 1e-6)
        best = np.where(hit, np.minimum(best, enter), best)
    return best


def one_solid(kind: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    builder = PrimitiveBuilder()
    builder.add(kind, (rng.uniform(4, 9), *rng.uniform(-1, 1, 2) + (0, 6)), rng.uniform(0.3, 2, 3),
                0, tuple(rng.uniform(-3, 3, 3)))
    return builder.build()


@pytest.mark.parametrize('kind', [BOX, ELLIPSOID, CYLINDER])
@pytest.mark.parametrize('seed', range(3))
def test_distance_to_a_solid_equals_marching(kind, seed):
    solid, origin = one_solid(kind, seed), np.array([0.0, 0.0, 6.0])
    y, z = np.meshgrid(np.linspace(-0.5, 0.5, 30), np.linspace(-0.5, 0.5, 30))
    rays = np.stack([np.ones_like(y), y, z], -1)
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    distance, hit = cast_rays(prepare_view(solid, origin), 6.0, rays, np.ones(y.shape, dtype=bool))
    expected = march(solid[0], origin, rays.reshape(-1, 3), 16, 0.02).reshape(y.shape)
    marched = np.isfinite(expected)
    assert 30 < marched.sum() < 890
    assert (hit[marched] == 0).all()
    np.testing.assert_allclose(distance[marched], expected[marched], atol=1e-6)
    # Marching can only miss rays that graze the solid.
    assert (hit[~marched] == 0).sum() <= 0.02 * marched.sum()


def look(yaw: float, pitch: float, roll: float) -> Camera:
    """A camera 1.7 m above the road that looks in any direction."""
    from scipy.spatial.transform import Rotation
    pose = np.eye(4)
    axes = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])
    pose[:3, :3] = Rotation.from_euler('ZYX', [yaw, pitch, roll], degrees=True).as_matrix() @ axes
    pose[2, 3] = 1.7
    return Camera(np.array([[60.0, 0, 48], [0, 60, 32], [0, 0, 1]]), pose, (96, 64))


@pytest.mark.parametrize('seed, yaw, pitch, roll', [(0, 0, 0, 0), (1, 180, 8, -6),
                                                    (2, 110, -15, 12), (3, -75, 12, 30)])
def test_tiles_leave_out_no_solid_in_any_direction(seed, yaw, pitch, roll):
    scene = random_scene(np.random.default_rng(seed))
    primitives = scene.primitives.copy()
    primitives['cutout'] = 0
    camera = look(yaw, pitch, roll)
    camera.camera_to_world[1, 3] = scene.ego_y
    compare_with_brute_force(primitives, camera.camera_to_world[:3, 3].copy(), camera.directions())


def test_lidar_sweep_equals_brute_force_all_around():
    scene = random_scene(np.random.default_rng(4))
    primitives = scene.primitives.copy()
    primitives['cutout'] = 0
    lidar = Lidar(np.eye(4), np.deg2rad(np.linspace(10, -25, 24)),
                  np.linspace(np.pi, -np.pi, 180, False))
    compare_with_brute_force(primitives, np.array([0, scene.ego_y, 1.9]), lidar.directions())


def test_solids_below_and_above_the_sensor_are_seen_all_around():
    builder = PrimitiveBuilder()
    builder.add(BOX, (0.3, 0.2, 0.4), (2, 1.5, 0.4), 0, (0.4, 0, 0))
    builder.add(ELLIPSOID, (-0.5, 0, 5), (6, 4, 1), 0)
    lidar = Lidar(np.eye(4), np.deg2rad(np.linspace(60, -60, 40)),
                  np.linspace(np.pi, -np.pi, 90, False))
    compare_with_brute_force(builder.build(), np.array([0, 0, 1.9]), lidar.directions())


def compare_with_brute_force(primitives, origin, directions):
    shape = directions.shape[:2]
    distance, hit = cast_rays(prepare_view(primitives, origin), origin[2], directions,
                              np.ones(shape, dtype=bool))
    expected = nearest(primitives, origin, directions.reshape(-1, 3)).reshape(shape)
    near = expected < 1e4  # beyond, the ground and the horizon are a matter of rounding
    np.testing.assert_allclose(distance[near], expected[near], rtol=1e-6)
    assert (distance[~near] > 1e4).all()
    assert set(np.unique(hit)) >= {GROUND_PLANE} and (hit >= 0).mean() > 0.02
    assert (hit[np.isinf(distance)] == SKY).all()


def test_inactive_rays_are_left_out():
    solid, origin = one_solid(BOX, 0), np.array([0.0, 0.0, 6.0])
    towards = solid['centre'][0] - origin
    rays = np.tile(towards / np.linalg.norm(towards), (2, 3, 1))
    active = np.array([[True, False, True], [False, False, True]])
    distance, hit = cast_rays(prepare_view(solid, origin), 6.0, rays, active)
    assert (np.isfinite(distance) == active).all() and ((hit == 0) == active).all()


def test_foliage_is_seen_through_its_holes():
    builder = PrimitiveBuilder()
    builder.add(ELLIPSOID, (10, 0, 5), (2, 2, 2), 0, cutout=0.45)
    solid, origin = builder.build(), np.array([0.0, 0.0, 5.0])
    y, z = np.meshgrid(np.linspace(-0.19, 0.19, 60), np.linspace(-0.19, 0.19, 60))
    rays = np.stack([np.ones_like(y), y, z], -1)
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    distance, hit = cast_rays(prepare_view(solid, origin), 5.0, rays, np.ones(y.shape, dtype=bool))
    solid['cutout'] = 0
    whole, _ = cast_rays(prepare_view(solid, origin), 5.0, rays, np.ones(y.shape, dtype=bool))
    body = np.isfinite(whole) & (whole < 12)
    front = body & np.isclose(distance, whole)
    back = body & (hit == 0) & ~front
    through = body & (hit != 0)
    assert all(0.05 < part.sum() / body.sum() < 0.9 for part in (front, back, through))
    assert (distance[back] > whole[back]).all()


def test_noise_is_smooth_bounded_and_depends_on_the_seed():
    x = np.linspace(-20, 20, 4001)
    values = np.array([value_noise(t, 0.3, -0.7, 5) for t in x])
    assert 0 <= values.min() < 0.3 and 0.7 < values.max() < 1
    assert np.abs(np.diff(values)).max() < 0.02  # the slope of a smoothstep is at most 1.5
    assert np.abs(values - [value_noise(t, 0.3, -0.7, 6) for t in x]).max() > 0.3
