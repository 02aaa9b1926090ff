"""Waymo Open Dataset to info files, from the folders that mmdet3d's Waymo converter writes.

Below ``{training,validation,testing}/`` mmdet3d puts ``image_0`` to ``image_4``, ``velodyne`` and, up
to version 1.3, ``calib`` (P0 to P4, R0_rect, Tr_velo_to_cam_0 to 4) and ``timestamp``. Version 1.4
writes no calibration files: it is in ``waymo_infos_{train,val,test}.pkl`` beside those folders, and
taken from there.
"""
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...errors import DataError
from ...files import read_bytes, shown
from ..readers.fields import MICROSECONDS, check_fields
from ..readers.safe_pickle import load_pickle
from .calibration_files import read_key_values, read_matrix
from .common import (
    ConvertedSplit,
    PathLike,
    Subset,
    camera_info,
    check_point_file,
    field,
    image_size,
    invertible_4x4,
    require_folder,
    write_split,
)
from .frame_files import CLOUD_SUFFIXES, IMAGE_SUFFIXES, FrameFiles
from .image_sizes import check_against_intrinsics
from .text_files import read_text

CAMERAS = ('CAM_FRONT', 'CAM_FRONT_LEFT', 'CAM_FRONT_RIGHT', 'CAM_SIDE_LEFT', 'CAM_SIDE_RIGHT')
NUM_POINT_FEATS = 6  # x, y, z, intensity, elongation, place in the range image
SPLITS = {'train': 'training', 'val': 'validation', 'test': 'testing'}
_SEQUENCE_DIGITS = 4  # a frame is named PSSSFFF: split, sequence (with split: 4 digits) and frame

Matrices = tuple[np.ndarray, np.ndarray]  # cam2img and lidar2cam, (4, 4)


class WaymoFrame(NamedTuple):
    """A frame by its number in file names, and what mmdet3d 1.4 says about it, else None."""
    name: str
    images: dict[str, str]  # by camera, relative to the data root
    info: dict | None


def create_waymo_infos(root_path: PathLike,
                       out_dir: PathLike,
                       cameras: Sequence[str] = CAMERAS,
                       subset: Subset = Subset(),
                       num_workers: int | None = None) -> list[ConvertedSplit]:
    """Write ``out_dir/simipu_infos_{train,val,test}.pkl``, one for each folder that is there.

    Args:
        root_path: mmdet3d's ``kitti_format`` folder, with ``training/`` and the like.
        out_dir: Where to write; made if need be.
        cameras: Which of the five.
        subset: Which part to convert.
        num_workers: Number of processes; None: one for each available core.

    Raises:
        DataError: Something is missing or malformed; nothing is written for that split.
    """
    root_path = require_folder(root_path, 'the kitti_format folder of mmdet3d\'s Waymo converter')
    unknown = [name for name in cameras if name not in CAMERAS]
    if unknown or not cameras:
        raise DataError(f'unknown cameras {", ".join(unknown)}; expected some of '
                        f'{", ".join(CAMERAS)}')
    present = {split: part for split, part in SPLITS.items() if _frame_names(root_path, part)}
    if not present:
        raise DataError(f'{root_path}: no clouds; expected training/velodyne/*.bin, which mmdet3d\'s '
                        'create_data.py waymo writes')
    return [_create_split(split, part, root_path, Path(out_dir), cameras, subset, num_workers)
            for split, part in present.items()]


def _create_split(split: str, part: str, root_path: Path, out_dir: Path, cameras: Sequence[str],
                  subset: Subset, num_workers: int | None) -> ConvertedSplit:
    sequences: dict[str, list[str]] = {}
    for name in _frame_names(root_path, part):
        sequences.setdefault(name[:_SEQUENCE_DIGITS], []).append(name)
    names = [name for sequence in subset.of_scenes(list(sequences))
             for name in subset.of_frames(sequences[sequence])]
    infos = None if (root_path / part / 'calib').is_dir() else _mmdet3d_infos(root_path, split)
    unknown = [name for name in names if infos is not None and name not in infos]
    if unknown:
        raise DataError(f'{root_path}: mmdet3d\'s waymo_infos_{split}.pkl has no frame {unknown[0]}, but there is '
                        f'{part}/velodyne/{unknown[0]}.bin; let mmdet3d\'s create_data.py waymo finish')
    folders = {camera: FrameFiles(root_path / part / f'image_{CAMERAS.index(camera)}', IMAGE_SUFFIXES)
               for camera in cameras}
    frames = [WaymoFrame(name, {camera: f'{part}/{folder.folder.name}/{folder.require(name, f"{part}/velodyne")}'
                                for camera, folder in folders.items()}, infos and infos[name]) for name in names]
    arguments = dict(root_path=root_path, part=part)
    return write_split(out_dir / f'simipu_infos_{split}.pkl', partial(_frame_info, **arguments), frames,
                       f'{part}/velodyne', partial(_frame_paths, **arguments), num_workers, dataset='waymo',
                       split=split)


def _frame_names(root_path: Path, part: str) -> list[str]:
    clouds = FrameFiles(root_path / part / 'velodyne', CLOUD_SUFFIXES)
    return [stem for stem in clouds.by_stem if stem.isdecimal()]


def _mmdet3d_infos(root_path: Path, split: str) -> dict[str, dict]:
    """mmdet3d 1.4's info of each frame, by its name: of that only calibration and time stamp."""
    path = root_path / f'waymo_infos_{split}.pkl'
    if not path.exists():
        raise DataError(f'{root_path / SPLITS[split]} has no calib folder, and there is no {path}; '
                        'expected the calibration in one of them. Let mmdet3d\'s create_data.py '
                        'waymo finish')
    infos = {}
    for number, frame in enumerate(field(load_pickle(read_bytes(path), path), 'data_list', list, path)):
        where = f'{path}: data_list[{number}]'
        cloud = field(field(frame, 'lidar_points', dict, where), 'lidar_path', str, f'{where}.lidar_points')
        check_fields(frame, dict(timestamp=MICROSECONDS), where, 'Let mmdet3d\'s create_data.py waymo write it again')
        infos[Path(cloud).stem] = dict(images=field(frame, 'images', dict, where), timestamp=frame.get('timestamp'))
    return infos


def _frame_paths(frame: WaymoFrame, root_path: Path, part: str) -> list[Path]:
    texts = [root_path / part / folder / f'{frame.name}.txt' for folder in ('calib', 'timestamp')]
    return [root_path / part / f'velodyne/{frame.name}.bin', *(root_path / path for path in frame.images.values()),
            *filter(Path.is_file, texts)]


def _frame_info(frame: WaymoFrame, root_path: Path, part: str) -> dict:
    named_by = f'{root_path / part}/velodyne'
    lidar_path = f'{part}/velodyne/{frame.name}.bin'
    check_point_file(root_path / lidar_path, NUM_POINT_FEATS, named_by)
    read_calibration, microseconds = _calib_file, _time_file
    if not (root_path / part / 'calib').is_dir():
        read_calibration, microseconds = _info_calibration, _info_time
    calibration = read_calibration(frame, root_path, part)
    images = {}
    for camera, path in frame.images.items():
        size = image_size(root_path / path, named_by)
        check_against_intrinsics(size, calibration[camera][0], str(root_path / path), f'P{CAMERAS.index(camera)}')
        images[camera] = camera_info(path, size, *calibration[camera])
    info = dict(sample_idx=int(frame.name), sequence=frame.name[:_SEQUENCE_DIGITS], images=images,
                lidar_points=dict(lidar_path=lidar_path, num_pts_feats=NUM_POINT_FEATS))
    time = microseconds(frame, root_path, part)
    return info if time is None else dict(info, timestamp=time / 1e6)


def _calib_file(frame: WaymoFrame, root_path: Path, part: str) -> dict[str, Matrices]:
    path = root_path / part / 'calib' / f'{frame.name}.txt'
    values = read_key_values(path, f'{root_path / part}/velodyne')
    rectify = read_matrix(values, 'R0_rect', (3, 3), path)
    return {camera: (read_matrix(values, f'P{CAMERAS.index(camera)}', (3, 4), path),
                     rectify @ read_matrix(values, f'Tr_velo_to_cam_{CAMERAS.index(camera)}', (3, 4), path))
            for camera in frame.images}


def _time_file(frame: WaymoFrame, root_path: Path, part: str) -> int | None:
    path = root_path / part / 'timestamp' / f'{frame.name}.txt'
    if not path.exists():
        return None
    text = read_text(path).strip()
    if not re.fullmatch(r'[0-9]{1,18}', text) or not MICROSECONDS.holds(int(text)):
        raise DataError(f'{path}: expected a time stamp in microseconds, found "{shown(text, 40)}"; let mmdet3d\'s '
                        'create_data.py waymo write it again')
    return int(text)


def _info_calibration(frame: WaymoFrame, root_path: Path, part: str) -> dict[str, Matrices]:
    where = f'{root_path}/waymo_infos, frame {frame.name}'
    calibration = {}
    for camera in frame.images:
        image = field(frame.info['images'], camera, dict, f'{where}: images')
        cam2img, lidar2cam = (
            invertible_4x4(field(image, key, (list, np.ndarray), f'{where}: images.{camera}'), f'{camera}.{key}', where)
            for key in ('cam2img', 'lidar2cam'))
        calibration[camera] = cam2img, lidar2cam
    return calibration


def _info_time(frame: WaymoFrame, root_path: Path, part: str) -> int | None:
    return frame.info['timestamp']
