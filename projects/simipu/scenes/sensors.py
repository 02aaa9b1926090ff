"""Cameras and LiDARs that look at a scene, and a random KITTI-like rig of one of each.

Frames: world and LiDAR x forward, y left, z up; camera x right, y down, z forward. Metres.
"""
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from .kernels import cast_rays, develop, lidar_returns, pixel_rays, shade_image
from .primitives import rotation_zyx
from .scene import Scene
from .view import prepare_view

# x forward, y left, z up -> x right, y down, z forward.
_TO_CAMERA_AXES = np.array([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]])
_ANTIALIASING = ((-0.33, 0.17), (0.33, -0.17))  # pixels: rays beside the central one


@dataclass(frozen=True)
class Camera:
    """A pinhole camera; pixel (0, 0) is the centre of the top left pixel."""
    intrinsics: np.ndarray  # (3, 3)
    camera_to_world: np.ndarray  # (4, 4)
    size: tuple[int, int]  # (width, height)

    def directions(self, left: float = 0.0, top: float = 0.0,
                   size: tuple[int, int] | None = None) -> np.ndarray:
        """Unit vectors (h, w, 3) in world frame through the pixels (left, top), (left + 1, top) ...

        ``size`` is (w, h), by default the image's.
        """
        to_world = self.camera_to_world[:3, :3] @ np.linalg.inv(self.intrinsics)
        width, height = size or self.size
        return pixel_rays(to_world, width, height, left, top)


@dataclass(frozen=True)
class Lidar:
    """A spinning LiDAR."""
    lidar_to_world: np.ndarray  # (4, 4)
    elevations: np.ndarray  # (B,) of the beams, radians
    azimuths: np.ndarray  # (A,) radians, in firing order
    max_range: float = 100.0  # metres
    range_noise: float = 0.02  # standard deviation, metres
    dropout: float = 0.05  # share of returns lost whatever they hit

    def directions(self) -> np.ndarray:
        """Unit vectors (B, A, 3) in LiDAR frame."""
        level = np.cos(self.elevations)[:, None]
        directions = np.empty((len(self.elevations), len(self.azimuths), 3))
        directions[..., 0] = level * np.cos(self.azimuths)
        directions[..., 1] = level * np.sin(self.azimuths)
        directions[..., 2] = np.sin(self.elevations)[:, None]
        return directions


@dataclass(frozen=True)
class Picture:
    """What a camera saw."""
    image: np.ndarray  # (H, W, 3) uint8 BGR
    depth: np.ndarray  # (H, W) metres along the optical axis, inf for sky
    instance: np.ndarray  # (H, W) number of the labelled object, -1 elsewhere


@dataclass(frozen=True)
class Sweep:
    """What a LiDAR saw."""
    points: np.ndarray  # (N, 4) float32: x, y, z in LiDAR frame, intensity 0..1
    instance: np.ndarray  # (N,) number of the labelled object, -1 elsewhere


def _instance_of(scene: Scene, hit: np.ndarray) -> np.ndarray:
    return np.where(hit >= 0, scene.primitives['instance'][np.maximum(hit, 0)], -1)


def _edges(hit: np.ndarray) -> np.ndarray:
    """Pixels whose right, left, upper or lower neighbour shows another surface."""
    edge = np.zeros(hit.shape, dtype=bool)
    across, down = hit[:, 1:] != hit[:, :-1], hit[1:] != hit[:-1]
    edge[:, 1:] |= across
    edge[:, :-1] |= across
    edge[1:] |= down
    edge[:-1] |= down
    return edge


def _develop(linear: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """From linear colours to an 8-bit image: exposure, tone, vignette, noise, a little blur."""
    height, width = linear.shape[:2]
    light = np.linspace(0, 1, 4096) * rng.uniform(0.9, 1.5)
    curve = 255 * np.minimum(light, 1)**rng.uniform(0.5, 0.95)
    noise = rng.standard_normal((height, width + 2), dtype=np.float32)
    noise *= np.float32(rng.uniform(0.5, 5))
    picture = develop(linear, curve, rng.uniform(0, 0.2), noise)
    if rng.random() < 0.25:
        picture = cv2.GaussianBlur(picture, (3, 3), rng.uniform(0.3, 0.7))
    return picture


def _veiled(image: np.ndarray, distance: np.ndarray, light: np.void) -> np.ndarray:
    """The light of the horizon before that of what is far; the sky has it already."""
    veil = np.where(np.isfinite(distance), -np.expm1(-light['haze'] * distance), 0)[..., None]
    return (image * (1 - veil) + light['horizon'] * veil).astype(np.float32)


def render(scene: Scene, camera: Camera, rng: np.random.Generator) -> Picture:
    """Ray-cast a picture; only pixels on the outline of something get more than one ray."""
    origin = camera.camera_to_world[:3, 3]
    view = prepare_view(scene.primitives, origin)
    pixel_angle = 1 / camera.intrinsics[0, 0]

    def cast(directions, active):
        distance, hit = cast_rays(view, origin[2], directions, active)
        image = shade_image(
            scene.primitives, scene.materials, scene.ground, scene.light, scene.shadow_map, origin,
            directions, distance, hit, active, pixel_angle)
        return distance, hit, _veiled(image, distance, scene.light) if scene.light['haze'] else image

    directions = camera.directions()
    distance, hit, linear = cast(directions, np.ones(directions.shape[:2], dtype=bool))
    edge = _edges(hit)
    for du, dv in _ANTIALIASING:
        linear += cast(camera.directions(du, dv), edge)[2]
    linear[edge] /= 1 + len(_ANTIALIASING)
    depth = distance * (directions @ camera.camera_to_world[:3, 2])
    return Picture(_develop(linear, rng), depth, _instance_of(scene, hit))


def scan(scene: Scene, lidar: Lidar, rng: np.random.Generator) -> Sweep:
    """Ray-cast a sweep."""
    origin = np.ascontiguousarray(lidar.lidar_to_world[:3, 3])
    local = lidar.directions()
    directions = (local.reshape(-1, 3) @ lidar.lidar_to_world[:3, :3].T).reshape(local.shape)
    distance, hit = cast_rays(prepare_view(scene.primitives, origin), origin[2], directions,
                              np.ones(local.shape[:2], dtype=bool))
    noise = rng.standard_normal((*hit.shape, 2), dtype=np.float32)
    noise *= np.float32([lidar.range_noise, 0.05])
    points, solids = lidar_returns(scene.primitives, scene.materials,
                                   scene.ground, origin, local, directions, distance, hit,
                                   rng.random(hit.shape), noise, lidar.max_range, lidar.dropout)
    return Sweep(points, _instance_of(scene, solids))


@dataclass(frozen=True)
class KittiRig:
    """One LiDAR and one camera (KITTI's number 2, left colour) on a vehicle.

    The pixel of a LiDAR point is ``P2 @ R0_rect @ Tr_velo_to_cam @ point``.
    """
    camera: Camera
    lidar: Lidar
    # KITTI's: P0..P3 (3, 4), R0_rect (3, 3), Tr_velo_to_cam and Tr_imu_to_velo (3, 4).
    calibration: dict[str, np.ndarray]

    def lidar_to_rectified(self) -> np.ndarray:
        """(4, 4) from LiDAR to the rectified frame of camera 0, in which KITTI's labels are."""
        rectify = np.eye(4)
        rectify[:3, :3] = self.calibration['R0_rect']
        return rectify @ _homogeneous(self.calibration['Tr_velo_to_cam'])


def _homogeneous(matrix: np.ndarray) -> np.ndarray:
    """A (3, 4) matrix with the row (0, 0, 0, 1) below."""
    return np.concatenate([matrix, [[0.0, 0, 0, 1]]])


def pose(rotation: np.ndarray, translation) -> np.ndarray:
    """(4, 4) of a (3, 3) rotation and a (3,) translation."""
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation, translation
    return matrix


def _small_rotation(rng: np.random.Generator, degrees: float) -> np.ndarray:
    return rotation_zyx(np.deg2rad(rng.normal(0, degrees, 3)))


def random_calibration(rng: np.random.Generator, size: tuple[int, int], focal: float = 707.0 / 1242,
                       camera: tuple[Sequence[float], Sequence[float]] = ([0.12, -0.15, -0.45], [0.57, 0.15, -0.05]),
                       pitch: float = 0.0) -> dict[str, np.ndarray]:
    """A calibration in KITTI's terms, by default KITTI's, scaled to the image and shaken.

    Args:
        size: (width, height) in pixels.
        focal: Length, as a share of the image's width.
        camera: Where the camera is, seen from the LiDAR: between these two points.
        pitch: Degrees that it looks down.
    """
    width, height = size
    focal = focal * width * rng.uniform(0.98, 1.02)
    intrinsics = np.array([[focal, 0, width * (0.487 + rng.normal(0, 0.01))],
                           [0, focal, height * (0.481 + rng.normal(0, 0.02))], [0, 0, 1]])
    calibration = {}
    for number, x in enumerate((0.0, -0.54, 0.065, -0.47)):
        shift = np.array([[1, 0, 0, x], [0, 1, 0, 0], [0, 0, 1, 0]])
        calibration[f'P{number}'] = intrinsics @ shift
    calibration['R0_rect'] = _small_rotation(rng, 0.4)
    rotation = _small_rotation(rng, 0.6) @ _TO_CAMERA_AXES @ rotation_zyx(np.deg2rad([0, -pitch, 0]))
    calibration['Tr_velo_to_cam'] = pose(rotation, -rotation @ rng.uniform(*camera))[:3]
    calibration['Tr_imu_to_velo'] = pose(_small_rotation(rng, 0.3), (-0.81, 0.32, -0.8))[:3]
    return calibration


def _random_lidar(rng: np.random.Generator, lidar_to_world: np.ndarray) -> Lidar:
    beams = int(rng.integers(32, 65))
    elevations = np.deg2rad(np.linspace(rng.uniform(2, 10), rng.uniform(-26, -20), beams))
    steps = 800
    azimuths = np.linspace(np.pi, -np.pi, steps, endpoint=False) + rng.uniform(0, 2 * np.pi / steps)
    return Lidar(lidar_to_world, elevations, azimuths, max_range=rng.uniform(80, 120),
                 range_noise=rng.uniform(0.01, 0.03), dropout=rng.uniform(0.02, 0.12))


def random_kitti_rig(rng: np.random.Generator, image_size: tuple[int, int],
                     ego_y: float) -> KittiRig:
    """A rig at (0, ego_y) of the world; its pose and calibration vary from frame to frame.

    As of one type of vehicle, on roads and with loads of all kinds: camera 1.45 to 1.85 m above the
    ground, pitch and roll 1.5 degrees (one standard deviation), so that an image row does not stand
    for a depth.

    Args:
        image_size: (width, height) in pixels.
    """
    calibration = random_calibration(rng, image_size)
    attitude = np.deg2rad(np.clip(rng.normal(0, [4.0, 1.5, 1.5]), -8, 8))  # yaw, pitch, roll
    camera_offset = np.linalg.inv(_homogeneous(calibration['Tr_velo_to_cam']))[2, 3]
    lidar_height = rng.uniform(1.45, 1.85) - camera_offset
    lidar_to_world = pose(rotation_zyx(attitude), (0, ego_y, lidar_height))
    return kitti_rig(calibration, _random_lidar(rng, lidar_to_world), image_size)


def kitti_rig(calibration: dict[str, np.ndarray], lidar: Lidar, image_size: tuple[int, int]) -> KittiRig:
    """The rig whose camera stands where the calibration says."""
    intrinsics = calibration['P2'][:, :3]
    rectify = pose(calibration['R0_rect'], (0, 0, 0))
    to_camera2 = pose(np.eye(3), np.linalg.solve(intrinsics, calibration['P2'][:, 3]))
    lidar_to_camera = to_camera2 @ rectify @ _homogeneous(calibration['Tr_velo_to_cam'])
    camera = Camera(intrinsics, lidar.lidar_to_world @ np.linalg.inv(lidar_to_camera), image_size)
    return KittiRig(camera, lidar, calibration)
