"""Scenes of boards whose clouds and images fit exactly, and data sets of them with one thing changed."""
from collections.abc import Callable
from pathlib import Path

import cv2
import mmengine
import numpy as np

from simipu.geometry import rotation_matrix, to_4x4, translation_matrix

HEIGHT, WIDTH = 200, 500
INTRINSICS = np.array([[400, 0, 245.], [0, 410, 105], [0, 0, 1]])
AXES = np.array([[0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1.]])
LIDAR2CAM = rotation_matrix(0.02, 'x') @ AXES @ translation_matrix([-0.2, 0.05, 0.1])
LIDAR2IMG = to_4x4(INTRINSICS) @ LIDAR2CAM
CAMERA = np.linalg.inv(LIDAR2CAM)[:3, 3]


def board_scene(seed):
    """A cloud (N, 3) and an image of upright boards before a distant wall and a flat ground."""
    rng = np.random.default_rng(seed)
    image = np.full((HEIGHT, WIDTH, 3), 120, np.uint8)
    elevation, azimuth = np.meshgrid(np.radians(np.arange(-14, 8, 0.5)),
                                     np.radians(np.arange(-30, 30, 0.25)))
    rays = np.stack([np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth),
                     np.sin(elevation)], axis=-1).reshape(-1, 3)
    ground = np.where(rays[:, 2] < 0, -1.7 / np.minimum(rays[:, 2], -1e-9), np.inf)
    distance = np.minimum(60 / rays[:, 0], ground)
    for x in np.sort(rng.uniform(8, 30, 8))[::-1]:  # far ones first: painter's algorithm
        y, width, height = x * rng.uniform(-0.5, 0.5), rng.uniform(1, 3), rng.uniform(1, 3)
        low, high = [x, y - width / 2, -1.7], [x, y + width / 2, -1.7 + height]
        corners = np.array([[x, low[1], low[2]], [x, high[1], low[2]], [x, high[1], high[2]],
                            [x, low[1], high[2]]])
        projected = np.insert(corners, 3, 1, axis=1) @ LIDAR2IMG.T
        pixels = np.rint(projected[:, :2] / projected[:, 2:3]).astype(np.int32)
        cv2.fillPoly(image, [pixels], rng.integers(0, 255, 3).tolist())
        place = rays * (x / rays[:, :1])
        hit = (place[:, 1:] > low[1:]).all(axis=1) & (place[:, 1:] < high[1:]).all(axis=1)
        distance = np.where(hit, np.minimum(distance, x / rays[:, 0]), distance)
    noise = rng.integers(-8, 8, image.shape)
    return rays * distance[:, None], np.clip(image + noise, 0, 255).astype(np.uint8)


SCENES = [board_scene(seed) for seed in range(6)]


def write_boards(root: Path, num_frames: int = 4, cameras: tuple[str, ...] = ('CAM',),
                 cloud: Callable = lambda points, frame: points,
                 image: Callable = lambda pixels: pixels,
                 calibration: Callable = lambda matrices, frame, camera: None) -> Path:
    """Write frames as an info file and its files below ``root``.

    Args:
        root: Folder.
        num_frames: How many, each another scene.
        cameras: Names of cameras, which all see the same.
        cloud: Changes (N, 4) points of a frame before they are written.
        image: Changes the images.
        calibration: Changes the image's entry in the info file, with ``cam2img`` and ``lidar2cam``, in
            place; ``lidar2img`` is composed afterwards where it does not set it.
    """
    root.mkdir(exist_ok=True)
    infos = []
    for frame in range(num_frames):
        points, pixels = SCENES[frame]
        reflectance = np.random.default_rng(frame).uniform(0, 1, len(points))
        points = cloud(np.c_[points, reflectance], frame)
        np.ascontiguousarray(points).astype(np.float32).tofile(root / f'{frame}.bin')
        images = {}
        for camera in cameras:
            cv2.imwrite(str(root / f'{frame}_{camera}.png'), image(pixels))
            entry = dict(img_path=f'{frame}_{camera}.png', cam2img=to_4x4(INTRINSICS), lidar2cam=LIDAR2CAM.copy())
            calibration(entry, frame, camera)
            if 'lidar2img' not in entry:
                entry['lidar2img'] = entry['cam2img'] @ entry['lidar2cam']
            images[camera] = entry
        infos.append(dict(sample_idx=frame, timestamp=0.1 * frame, sequence='a', images=images,
                          lidar_points=dict(lidar_path=f'{frame}.bin', num_pts_feats=4)))
    mmengine.dump(dict(metainfo={}, data_list=infos), root / 'simipu_infos_train.pkl')
    return root
