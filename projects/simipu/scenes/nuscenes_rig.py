"""A moving vehicle with nuScenes' sensors: one LiDAR and six cameras, each with its own clock."""
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .kernels import road_centre
from .primitives import rotation_zyx
from .scene import Scene
from .sensors import Camera, Lidar

LIDAR = 'LIDAR_TOP'
NUM_BEAMS = 32


class _Mount(NamedTuple):
    """Where a camera sits on the vehicle, what it looks at, and when it fires."""
    position: tuple[float, float, float]  # metres in ego frame
    yaw: float  # degrees, 0 ahead, positive to the left
    focal_length: float  # share of the image width
    delay: float  # seconds after the LiDAR's time stamp


# As in nuScenes, rounded. The delays differ from camera to camera, as the LiDAR's beam triggers them.
CAMERAS = {
    'CAM_FRONT': _Mount((1.70, 0.02, 1.51), 0, 0.79, -0.035),
    'CAM_FRONT_RIGHT': _Mount((1.55, -0.49, 1.50), -56, 0.79, -0.028),
    'CAM_FRONT_LEFT': _Mount((1.52, 0.49, 1.51), 55, 0.79, -0.043),
    'CAM_BACK': _Mount((0.03, 0.00, 1.58), 180, 0.51, -0.010),
    'CAM_BACK_LEFT': _Mount((1.04, 0.48, 1.59), 109, 0.79, -0.001),
    'CAM_BACK_RIGHT': _Mount((1.01, -0.48, 1.56), -110, 0.79, -0.020),
}
_TO_CAMERA_AXES = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])  # camera axes, as columns, in ego


@dataclass(frozen=True)
class NuscenesRig:
    """Calibration of the sensors, and the vehicle's drive through one scene at constant speed.

    Ego frame: x forward, y left, z up, on the ground below the rear axle. LiDAR frame: x right,
    y forward, z up, as nuScenes has it.
    """
    sensor_to_ego: dict[str, np.ndarray]  # (4, 4) by sensor
    intrinsics: dict[str, np.ndarray]  # (3, 3) by camera
    image_size: tuple[int, int]  # (width, height)
    speed: float  # metres a second
    attitude: np.ndarray  # (3,) yaw against the road, pitch and roll of the vehicle, radians
    height: float  # of the ego frame above the ground: higher or lower vehicles, metres
    start_y: float  # metres left of the road's middle
    bend: float  # of the road, see scene.GROUND
    max_range: float  # of the LiDAR, metres

    def ego_to_world(self, seconds: float) -> np.ndarray:
        """Pose (4, 4) of the vehicle, which follows the road."""
        x = self.speed * seconds
        yaw = np.arctan(self.bend * min(x, 80.0))
        pose = np.eye(4)
        pose[:3, :3] = rotation_zyx(self.attitude + (yaw, 0, 0))
        pose[:3, 3] = x, road_centre(x, self.bend) + self.start_y, self.height
        return pose

    def camera(self, name: str, seconds: float) -> Camera:
        """The camera at a moment of the drive."""
        pose = self.ego_to_world(seconds) @ self.sensor_to_ego[name]
        return Camera(self.intrinsics[name], pose, self.image_size)

    def lidar(self, seconds: float) -> Lidar:
        """The LiDAR at a moment of the drive."""
        elevations = np.deg2rad(np.linspace(-30.7, 10.7, NUM_BEAMS))
        azimuths = np.linspace(np.pi, -np.pi, 1084, endpoint=False)
        return Lidar(self.ego_to_world(seconds) @ self.sensor_to_ego[LIDAR], elevations, azimuths,
                     max_range=self.max_range)


def random_nuscenes_rig(rng: np.random.Generator, scene: Scene,
                        image_size: tuple[int, int]) -> NuscenesRig:
    """nuScenes' rig, shaken by up to a few degrees, on a vehicle of random height and speed.

    Args:
        image_size: (width, height) in pixels.
    """
    poses = {LIDAR: _pose(_shake(rng) @ rotation_zyx(np.array([-np.pi / 2, 0, 0])),
                          (0.94, 0.0, 1.84))}
    intrinsics = {}
    for name, mount in CAMERAS.items():
        facing = rotation_zyx(np.array([np.deg2rad(mount.yaw), 0, 0])) @ _TO_CAMERA_AXES
        poses[name] = _pose(_shake(rng) @ facing, mount.position + rng.normal(0, 0.02, 3))
        intrinsics[name] = _random_intrinsics(rng, mount.focal_length, image_size)
    return NuscenesRig(
        poses, intrinsics, image_size, speed=rng.uniform(1, 8),
        attitude=np.deg2rad(np.clip(rng.normal(0, [2.0, 1.5, 1.5]), -5, 5)),
        height=rng.uniform(-0.3, 0.8), start_y=scene.ego_y, bend=float(scene.ground['bend']),
        max_range=rng.uniform(70, 105))


def _random_intrinsics(rng: np.random.Generator, focal_length: float,
                       size: tuple[int, int]) -> np.ndarray:
    width, height = size
    focal = focal_length * width * rng.uniform(0.97, 1.03)
    centre = np.array(size) * (0.5 + rng.normal(0, 0.015, 2))
    return np.array([[focal, 0, centre[0]], [0, focal, centre[1]], [0, 0, 1]])


def _shake(rng: np.random.Generator) -> np.ndarray:
    """A rotation by about one degree."""
    return rotation_zyx(np.deg2rad(rng.normal(0, 0.7, 3)))


def _pose(rotation: np.ndarray, position) -> np.ndarray:
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation, position
    return pose
