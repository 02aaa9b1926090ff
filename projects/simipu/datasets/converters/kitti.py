"""KITTI object data set (and whatever has its layout) to info files, without reading labels."""
from functools import partial
from pathlib import Path
from typing import List, NamedTuple, Optional, Sequence

import numpy as np

from ...geometry import check_invertible, to_4x4
from ..errors import DataError
from .common import (PathLike, check_point_file, convert_frames, image_size, read_key_values,
                     write_infos)

NUM_POINT_FEATS = 4  # x, y, z, intensity
CLOUD_FOLDERS = ('velodyne', 'velodyne_reduced')


class ConvertedSplit(NamedTuple):
    """What was written for one split."""
    info_file: Path
    num_frames: int
    clouds: str  # folder the clouds are in, relative to the data root


def create_kitti_infos(root_path: PathLike,
                       out_dir: PathLike,
                       splits: Optional[Sequence[str]] = None,
                       clouds: Optional[str] = None,
                       num_workers: Optional[int] = None) -> List[ConvertedSplit]:
    """Write ``out_dir/simipu_infos_<split>.pkl`` for each split.

    Reads ``{training,testing}/{image_2,calib,velodyne or velodyne_reduced}`` and the lists in
    ``ImageSets/``; paths in the info files are relative to ``root_path``, the ``data_root`` of a
    config.

    Args:
        root_path: Folder with ``training/`` (and ``testing/``, ``ImageSets/``).
        out_dir: Where to write; made if need be.
        splits: Names of lists in ``ImageSets/`` or paths of text files with one frame number per
            line. A list called ``test...`` is about ``testing/``, any other about ``training/``.
            None: all lists in ``ImageSets/`` that are not empty.
        clouds: 'velodyne' (full sweeps) or 'velodyne_reduced' (the camera's field of view, as
            mmdet3d writes them). None: the first of these that exists.
        num_workers: Number of processes; None: one for each available core.

    Raises:
        DataError: Something is missing, truncated or malformed; nothing is written for that split.
    """
    root_path = Path(root_path)
    if not root_path.is_dir():
        raise DataError(f'{root_path} is not a folder; expected the KITTI object data set there, '
                        'with training/image_2, training/velodyne, training/calib and ImageSets')
    return [_create_split(root_path, Path(out_dir), split_file, clouds, num_workers)
            for split_file in _split_files(root_path, splits)]


def kitti_calibration(path: PathLike, named_by: str = 'the data set') -> dict:
    """Calibration of camera 2 as 4x4 matrices: ``cam2img``, ``lidar2cam``, ``lidar2img``.

    ``lidar2cam = R0_rect @ Tr_velo_to_cam`` ends in the rectified frame of camera 0, and
    ``cam2img = P2`` holds camera 2's offset in its fourth column (KITTI's convention).

    Raises:
        DataError: ``P2``, ``R0_rect`` or ``Tr_velo_to_cam`` is missing, malformed or singular.
    """
    values = read_key_values(path, named_by)
    cam2img = _calibration_matrix(values, 'P2', (3, 4), path)
    lidar2cam = _calibration_matrix(values, 'R0_rect', (3, 3), path) \
        @ _calibration_matrix(values, 'Tr_velo_to_cam', (3, 4), path)
    return dict(cam2img=cam2img, lidar2cam=lidar2cam, lidar2img=cam2img @ lidar2cam)


def _split_files(root_path: Path, splits: Optional[Sequence[str]]) -> List[Path]:
    folder = root_path / 'ImageSets'
    if splits is None:
        files = sorted(file for file in folder.glob('*.txt') if file.read_text().strip())
        if not files:
            raise DataError(f'no lists of frames in {folder}; expected train.txt and the like with '
                            'one frame number per line. Give your own list files with --splits')
        return files
    files = [Path(split) if split.endswith('.txt') else folder / f'{split}.txt' for split in splits]
    for file in files:
        if not file.is_file():
            present = ', '.join(sorted(path.stem for path in folder.glob('*.txt'))) or 'none'
            raise DataError(f'no list {file}; expected one frame number per line. Lists in '
                            f'{folder}: {present}')
    return files


def _create_split(root_path: Path, out_dir: Path, split_file: Path, clouds: Optional[str],
                  num_workers: Optional[int]) -> ConvertedSplit:
    frames = split_file.read_text().split()
    if not frames:
        raise DataError(f'{split_file} is empty; expected one frame number per line')
    subset = 'testing' if split_file.stem.startswith('test') else 'training'
    cloud_folder = _cloud_folder(root_path, subset, clouds)
    data_list = convert_frames(
        partial(_frame_info, root_path=root_path, subset=subset, cloud_folder=cloud_folder,
                named_by=str(split_file)), frames, num_workers)
    info_file = out_dir / f'simipu_infos_{split_file.stem}.pkl'
    write_infos(info_file, data_list, dataset='kitti', split=split_file.stem)
    return ConvertedSplit(info_file, len(data_list), cloud_folder)


def _cloud_folder(root_path: Path, subset: str, clouds: Optional[str]) -> str:
    candidates = [clouds] if clouds else CLOUD_FOLDERS
    for candidate in candidates:
        if (root_path / subset / candidate).is_dir():
            return f'{subset}/{candidate}'
    raise DataError(f'no folder {" or ".join(str(root_path / subset / c) for c in candidates)}; '
                    'expected the point clouds there. Complete the data set, or choose other lists '
                    'with --splits')


def _frame_info(frame: str, root_path: Path, subset: str, cloud_folder: str, named_by: str) -> dict:
    img_path = f'{subset}/image_2/{frame}.png'
    lidar_path = f'{cloud_folder}/{frame}.bin'
    check_point_file(root_path / lidar_path, NUM_POINT_FEATS, named_by)
    camera = dict(img_path=img_path, **image_size(root_path / img_path, named_by))
    calibration = kitti_calibration(root_path / subset / 'calib' / f'{frame}.txt', named_by)
    camera.update({name: matrix.tolist() for name, matrix in calibration.items()})
    return dict(
        sample_idx=int(frame) if frame.isdigit() else frame,
        images=dict(CAM2=camera),
        lidar_points=dict(lidar_path=lidar_path, num_pts_feats=NUM_POINT_FEATS))


def _calibration_matrix(values: dict, key: str, shape: tuple, path: PathLike) -> np.ndarray:
    """The named matrix as an invertible 4x4."""
    if key not in values:
        raise DataError(f'{path}: no {key}; expected a line "{key}:" with {np.prod(shape)} '
                        f'numbers, found {", ".join(values) or "no keys"}. Restore the original '
                        'KITTI calibration file')
    if values[key].size != np.prod(shape):
        raise DataError(f'{path}: {key} has {values[key].size} numbers, expected {np.prod(shape)} '
                        f'({shape[0]} x {shape[1]}); restore the original calibration file')
    matrix = to_4x4(values[key].reshape(shape))
    try:
        check_invertible(matrix, key)
    except ValueError as error:
        raise DataError(f'{path}: {error}\nRestore the original calibration file') from None
    return matrix
