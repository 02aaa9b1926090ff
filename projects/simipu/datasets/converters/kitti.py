"""KITTI object data set (and whatever has its layout) to info files, without reading labels."""
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...errors import DataError
from .common import (
    ConvertedSplit,
    PathLike,
    Subset,
    camera_info,
    check_point_file,
    image_size,
    read_key_values,
    read_matrix,
    require_folder,
    write_split,
)

NUM_POINT_FEATS = 4  # x, y, z, intensity
CLOUD_FOLDERS = ('velodyne', 'velodyne_reduced')


def create_kitti_infos(root_path: PathLike,
                       out_dir: PathLike,
                       splits: Sequence[str] | None = None,
                       clouds: str | None = None,
                       subset: Subset = Subset(),
                       num_workers: int | None = None) -> list[ConvertedSplit]:
    """Write ``out_dir/simipu_infos_<split>.pkl`` for each split.

    Reads ``{training,testing}/{image_2,calib,velodyne or velodyne_reduced}`` and the lists in
    ``ImageSets/``; paths in the info files are relative to ``root_path``, the ``data_root`` of a
    config.

    Args:
        root_path: Folder with ``training/`` (and ``testing/``, ``ImageSets/``).
        out_dir: Where to write; made if need be.
        splits: Names of lists in ``ImageSets/`` or paths of text files with one frame number per
            line. A list called ``test...`` is about ``testing/``, any other about ``training/``.
            None: all lists in ``ImageSets/`` that are not empty; those whose folder is not there
            (KITTI comes in parts) are left out and reported.
        clouds: 'velodyne' (full sweeps) or 'velodyne_reduced' (the camera's field of view, as
            mmdet3d writes them). None: the first of these that exists.
        subset: Which part to convert; a list counts as one scene.
        num_workers: Number of processes; None: one for each available core.

    Raises:
        DataError: Something is missing, truncated or malformed; nothing is written for that split.
    """
    root_path = require_folder(root_path, 'the KITTI object data set there, with training/image_2, '
                               'training/velodyne, training/calib and ImageSets')
    split_files, left_out = _split_files(root_path, splits), ()
    if splits is None:
        split_files, left_out = _with_folder(root_path, split_files)
    written = [_create_split(root_path, Path(out_dir), split_file, clouds, subset, num_workers)
               for split_file in split_files]
    return [*written[:-1], written[-1]._replace(left_out=left_out)]


class KittiCalibration(NamedTuple):
    """(4, 4) matrices; the pixel of a point is ``cam2img @ lidar2cam @ point``."""
    cam2img: np.ndarray
    lidar2cam: np.ndarray


def kitti_calibration(path: PathLike, named_by: str = 'the data set') -> KittiCalibration:
    """Calibration of camera 2.

    ``lidar2cam = R0_rect @ Tr_velo_to_cam`` ends in the rectified frame of camera 0, and
    ``cam2img = P2`` holds camera 2's offset in its fourth column (KITTI's convention).

    Raises:
        DataError: ``P2``, ``R0_rect`` or ``Tr_velo_to_cam`` is missing, malformed or singular.
    """
    values = read_key_values(path, named_by)
    lidar2cam = read_matrix(values, 'R0_rect', (3, 3), path) \
        @ read_matrix(values, 'Tr_velo_to_cam', (3, 4), path)
    return KittiCalibration(read_matrix(values, 'P2', (3, 4), path), lidar2cam)


def _split_files(root_path: Path, splits: Sequence[str] | None) -> list[Path]:
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


def _with_folder(root_path: Path, split_files: list[Path]) -> tuple[list[Path], tuple[str, ...]]:
    """The lists whose folder is there, and in words those whose is not."""
    present = [file for file in split_files if (root_path / _part(file)).is_dir()]
    if not present:
        raise DataError(f'{root_path}: neither training nor testing is there, which the lists in '
                        'ImageSets are about; complete the data set')
    left_out = tuple(f'ImageSets/{file.name}: no folder {root_path / _part(file)}'
                     for file in split_files if file not in present)
    return present, left_out


def _part(split_file: Path) -> str:
    """The folder that a list of frames is about."""
    return 'testing' if split_file.stem.startswith('test') else 'training'


def _create_split(root_path: Path, out_dir: Path, split_file: Path, clouds: str | None,
                  subset: Subset, num_workers: int | None) -> ConvertedSplit:
    frames = subset.of_frames(split_file.read_text().split())
    if not frames:
        raise DataError(f'{split_file} is empty; expected one frame number per line')
    part = _part(split_file)
    cloud_folder = _cloud_folder(root_path, part, clouds)
    convert = partial(_frame_info, root_path=root_path, part=part, cloud_folder=cloud_folder,
                      named_by=str(split_file))
    return write_split(out_dir / f'simipu_infos_{split_file.stem}.pkl', convert, frames,
                       cloud_folder, num_workers, dataset='kitti', split=split_file.stem)


def _cloud_folder(root_path: Path, part: str, clouds: str | None) -> str:
    candidates = [clouds] if clouds else CLOUD_FOLDERS
    for candidate in candidates:
        if (root_path / part / candidate).is_dir():
            return f'{part}/{candidate}'
    raise DataError(f'no folder {" or ".join(str(root_path / part / c) for c in candidates)}; '
                    'expected the point clouds there. Complete the data set, or choose other lists '
                    'with --splits')


def _frame_info(frame: str, root_path: Path, part: str, cloud_folder: str, named_by: str) -> dict:
    img_path = f'{part}/image_2/{frame}.png'
    lidar_path = f'{cloud_folder}/{frame}.bin'
    check_point_file(root_path / lidar_path, NUM_POINT_FEATS, named_by)
    calibration = kitti_calibration(root_path / part / 'calib' / f'{frame}.txt', named_by)
    size = image_size(root_path / img_path, named_by)
    return dict(
        sample_idx=int(frame) if frame.isdigit() else frame,
        images=dict(CAM2=camera_info(img_path, size, *calibration)),
        lidar_points=dict(lidar_path=lidar_path, num_pts_feats=NUM_POINT_FEATS))
