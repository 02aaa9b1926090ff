"""Clouds that are given in a map's frame or not in metres, written anew in metres about the vehicle."""
import os
from pathlib import Path

import numpy as np

from ...errors import DataError
from .own_calibration import UNITS, Coordinates

MOVED_CLOUDS = 'simipu_clouds'
"""Folder beside the info files."""
MAX_ROUNDING = 0.02  # metres


def write_moved_cloud(lidar: dict, root_path: Path, clouds_dir: Path, move: np.ndarray | None,
                      coordinates: Coordinates, name: str) -> str:
    """Write a cloud as float32 in metres, below ``clouds_dir``.

    Args:
        lidar: ``lidar_points`` of the frame.
        root_path: Folder that ``lidar_path`` is relative to.
        move: (4, 4) in metres, from the cloud's frame to the wanted one; None: the cloud stays where it is.
        coordinates: The cloud's unit.
        name: Of the frame, for messages.

    Returns:
        The new path, relative to ``root_path``.

    Raises:
        DataError: The numbers of the cloud are too coarse, as those of map coordinates in float32 are.
    """
    path = root_path / lidar['lidar_path']
    points = read_points(path, lidar['num_pts_feats'])
    unit = UNITS[coordinates.cloud_unit]
    rounding = np.spacing(np.abs(points[:, :3]).max()) * unit
    if rounding > MAX_ROUNDING:
        raise DataError(f'{name}: {path} holds coordinates up to {np.abs(points[:, :3]).max():.7g} as {points.dtype}, '
                        f'which rounds them to {rounding:.2g} m; export the clouds anew with 64 bits (.npy, .las), or '
                        'with an offset subtracted')
    points = points.astype(np.float64)
    points[:, :3] *= unit
    if move is not None:
        points[:, :3] = points[:, :3] @ move[:3, :3].T + move[:3, 3]
    parts = [part for part in Path(lidar['lidar_path']).parts if part not in ('..', os.sep)]
    target = clouds_dir.joinpath(*parts).with_suffix('.bin')
    target.parent.mkdir(parents=True, exist_ok=True)
    points.astype(np.float32).tofile(target)
    return os.path.relpath(target, root_path)


def read_points(path: Path, num_feats: int) -> np.ndarray:
    """(N, num_feats) of a file of float32 values, or of an array saved by ``numpy.save``, of its own dtype."""
    if path.suffix == '.npy':
        return np.load(path)
    return np.fromfile(path, np.float32).reshape(-1, num_feats)
