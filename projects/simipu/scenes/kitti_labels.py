"""KITTI object labels (label_2) of the road users in a rendered frame."""

import numpy as np

from .actors import SceneObject
from .kernels import cast_rays
from .primitives import CUBE_CORNERS
from .scene import Scene
from .sensors import Camera, KittiRig, Picture
from .view import prepare_view

_NEAR = 0.1  # metres before the camera at which boxes are cut
_LEAST_PIXELS = 12  # objects of which less is seen are marked DontCare
_EDGES = [(a, b) for a in range(8) for b in range(a + 1, 8)
          if np.abs(CUBE_CORNERS[a] - CUBE_CORNERS[b]).sum() == 2]


class KittiBox:
    """An object's box in KITTI's convention: in the rectified camera frame, turned about its y axis only.

    The vehicle pitches and rolls against the ground that the objects stand on, and KITTI's boxes
    cannot. The box keeps the true size, middle and (projected) heading.
    """

    def __init__(self, item: SceneObject, world_to_rectified: np.ndarray) -> None:
        self.length, self.width, self.height = item.size
        middle = world_to_rectified @ np.append(item.centre, 1.0)
        heading = world_to_rectified[:3, :3] @ (np.cos(item.yaw), np.sin(item.yaw), 0)
        self.location = middle[:3] + (0, self.height / 2, 0)  # middle of the bottom face
        self.rotation_y = float(np.arctan2(-heading[2], heading[0]))
        alpha = self.rotation_y - np.arctan2(self.location[0], self.location[2])
        self.alpha = float((alpha + np.pi) % (2 * np.pi) - np.pi)

    def corners(self) -> np.ndarray:
        """(8, 3) in the rectified camera frame."""
        x, z, y = (CUBE_CORNERS * (self.length / 2, self.width / 2, self.height / 2)).T
        cos, sin = np.cos(self.rotation_y), np.sin(self.rotation_y)
        turned = np.stack([cos * x + sin * z, y - self.height / 2, -sin * x + cos * z], axis=1)
        return turned + self.location


def project_box(corners: np.ndarray, projection: np.ndarray) -> np.ndarray:
    """Bounds (left, top, right, bottom) in pixels of a box, the part behind the camera cut off.

    Args:
        corners: (8, 3) in the rectified camera frame.
        projection: (3, 4).

    Returns:
        (4,), not limited to the image; NaN if the whole box is behind the camera.
    """
    ahead = corners[:, 2] > _NEAR
    if not ahead.any():
        return np.full(4, np.nan)
    points = [corners[ahead]]
    for a, b in _EDGES:
        if ahead[a] != ahead[b]:
            share = (_NEAR - corners[a, 2]) / (corners[b, 2] - corners[a, 2])
            points.append((corners[a] + share * (corners[b] - corners[a]))[None])
    seen = np.concatenate(points)
    pixels = np.concatenate([seen, np.ones((len(seen), 1))], axis=1) @ projection.T
    pixels = pixels[:, :2] / pixels[:, 2:]
    return np.concatenate([pixels.min(0), pixels.max(0)])


def _clip(bounds: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bounds within an image of (width, height)."""
    limit = np.array([size[0], size[1], size[0], size[1]]) - 1.0
    return np.clip(bounds, 0, limit)


def _area(bounds: np.ndarray) -> float:
    return float(max(bounds[2] - bounds[0], 0) * max(bounds[3] - bounds[1], 0))


def _silhouette(scene: Scene, camera: Camera, number: int, bounds: np.ndarray) -> int:
    """Number of pixels that object ``number`` would fill in the image if nothing stood before it."""
    corner, end = np.floor(bounds[:2]), np.ceil(bounds[2:]) + 1
    rays = camera.directions(*corner, size=tuple((end - corner).astype(int)))
    alone = scene.primitives[scene.primitives['instance'] == number]
    origin = camera.camera_to_world[:3, 3]
    _, hit = cast_rays(prepare_view(alone, origin), origin[2], rays,
                       np.ones(rays.shape[:2], dtype=bool))
    return int((hit >= 0).sum())


def _occlusion(visible_share: float) -> int:
    """KITTI's levels: 0 fully visible, 1 partly occluded, 2 largely occluded."""
    return 0 if visible_share > 0.8 else 1 if visible_share > 0.4 else 2


def _line(name: str, truncation: float, occlusion: int, box: KittiBox, bounds: np.ndarray) -> str:
    numbers = [box.alpha, *bounds, box.height, box.width, box.length, *box.location, box.rotation_y]
    return f'{name} {truncation:.2f} {occlusion} ' + ' '.join(f'{number:.4f}' for number in numbers)


def kitti_labels(scene: Scene, rig: KittiRig, picture: Picture) -> list[str]:
    """Lines of the frame's label_2 file, for all objects that the camera sees.

    2D boxes bound the projected 3D box, limited to the image. Truncation is the share of that
    rectangle beyond the image border; occlusion compares the pixels seen with those of the object
    alone.
    """
    world_to_rectified = rig.lidar_to_rectified() @ np.linalg.inv(rig.lidar.lidar_to_world)
    numbers, counts = np.unique(picture.instance[picture.instance >= 0], return_counts=True)
    lines, ignored = [], []
    for number, pixels in zip(numbers, counts):
        item = scene.objects[number]
        box = KittiBox(item, world_to_rectified)
        whole = project_box(box.corners(), rig.calibration['P2'])
        bounds = _clip(whole, rig.camera.size)
        if pixels < _LEAST_PIXELS:
            values = ' '.join(f'{value:.2f}' for value in bounds)
            ignored.append(f'DontCare -1 -1 -10 {values} -1 -1 -1 -1000 -1000 -1000 -10')
            continue
        alone = _silhouette(scene, rig.camera, number, bounds)
        truncation = 1 - _area(bounds) / max(_area(whole), 1e-6)
        lines.append(
            _line(item.class_name, truncation, _occlusion(pixels / max(alone, 1)), box, bounds))
    return lines + ignored
