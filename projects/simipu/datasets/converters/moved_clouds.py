"""Clouds that are given in a map's frame or not in metres, written anew in metres about the vehicle."""
import hashlib
import os
from pathlib import Path

import numpy as np

from ...errors import DataError
from ...files import read_bytes, write_whole
from ...geometry import MAX_CAMERA_DISTANCE
from ..readers import CloudLayout, drop_no_returns, read_cloud_values
from .common import require_file
from .own_calibration import UNITS, Coordinates

MOVED_CLOUDS = 'simipu_clouds'
"""Folder beside the info files."""
MAX_ROUNDING = 0.02  # metres


def write_moved_cloud(lidar: dict, root_path: Path, clouds_dir: Path, move: np.ndarray | None,
                      coordinates: Coordinates, name: str) -> dict:
    """Write a cloud as float32 in metres, below ``clouds_dir``.

    Points without return are left out: at the origin they would be taken for points once they are moved.

    Args:
        lidar: ``lidar_points`` of the frame.
        root_path: Folder that ``lidar_path`` is relative to.
        move: (4, 4) in metres, from the cloud's frame to the wanted one; None: the cloud stays where it is.
        coordinates: The cloud's unit.
        name: Of the frame, for messages.

    Returns:
        ``lidar_points`` of the new file, whose path is relative to ``root_path`` too.

    Raises:
        DataError: The file is missing or damaged, or its numbers are too coarse, as those of map coordinates in
            float32 are.
    """
    path = root_path / lidar['lidar_path']
    require_file(path, name)
    layout = CloudLayout(lidar.get('num_pts_feats'), lidar.get('dtype', 'float32'))
    points, _ = drop_no_returns(read_cloud_values(str(path), read_bytes(path), layout))
    if len(points) == 0:
        raise DataError(f'{path}: no point; expected coordinates. Take the frame off the list')
    unit = UNITS[coordinates.cloud_unit]
    largest = np.abs(points[:, :3]).max()
    rounding = np.spacing(largest) * unit
    if rounding > MAX_ROUNDING:
        raise DataError(f'{name}: {path} holds coordinates up to {largest:.7g} as {points.dtype}, which rounds them to '
                        f'{rounding:.2g} m; export the clouds anew with 64 bits (.npy, .las), or with an offset '
                        'subtracted')
    points = points.astype(np.float64)
    points[:, :3] *= unit
    if move is not None:
        points[:, :3] = points[:, :3] @ move[:3, :3].T + move[:3, 3]
        distance = np.median(np.linalg.norm(points[:, :3], axis=1))
        if distance > MAX_CAMERA_DISTANCE:
            raise DataError(f'{name}: {path} lies {distance:.6g} m from the vehicle; expected cloud and calibration '
                            'in the same map coordinates. Correct ego2global or lidar2cam, or the zone of the cloud')
    target = _target(clouds_dir, lidar['lidar_path'], move)
    write_whole(target, points.astype(np.float32).tobytes())
    kept = {key: value for key, value in lidar.items() if key != 'dtype'}
    return {**kept, 'lidar_path': os.path.relpath(target, root_path), 'num_pts_feats': points.shape[1]}


def _target(clouds_dir: Path, lidar_path: str, move: np.ndarray | None) -> Path:
    """Another one for each cloud and each move: frames may share a cloud and stand elsewhere, as in a map's tile."""
    parts = [part for part in Path(lidar_path).parts if part not in ('..', os.sep)]
    what = lidar_path.encode(errors='surrogateescape') + (b'' if move is None else np.ascontiguousarray(move).tobytes())
    return clouds_dir.joinpath(*parts[:-1], f'{parts[-1]}.{hashlib.sha256(what).hexdigest()[:12]}.bin')
