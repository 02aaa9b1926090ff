"""KITTI object data set (and whatever has its layout) to info files, without reading labels."""
import os
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path, PureWindowsPath
from typing import NamedTuple

import numpy as np

from ...errors import DataError
from .calibration_files import read_key_values, read_matrix
from .common import (
    ConvertedSplit,
    PathLike,
    Subset,
    camera_info,
    check_point_file,
    image_size,
    require_folder,
    write_split,
)
from .frame_files import CLOUD_SUFFIXES, IMAGE_SUFFIXES, FrameFiles
from .image_sizes import check_against_intrinsics
from .text_files import read_text

NUM_POINT_FEATS = 4  # x, y, z, intensity
CLOUD_FOLDERS = ('velodyne', 'velodyne_reduced')
# Names in the calibration files of KITTI's tracking set, and what the object set calls the same.
_TRACKING_NAMES = {'R_rect': 'R0_rect', 'Tr_velo_cam': 'Tr_velo_to_cam'}


class KittiCalibration(NamedTuple):
    """(4, 4) matrices; the pixel of a point is ``cam2img @ lidar2cam @ point``."""
    cam2img: np.ndarray
    lidar2cam: np.ndarray
    rectification_assumed: bool  # there is no R0_rect, and the identity was taken


class KittiFrame(NamedTuple):
    """A frame by its name in the list, its files relative to the data root, and their calibration."""
    name: str
    cloud: str
    image: str
    calib: str
    calibration: KittiCalibration


def create_kitti_infos(root_path: PathLike,
                       out_dir: PathLike,
                       splits: Sequence[str] | None = None,
                       clouds: str | None = None,
                       subset: Subset = Subset(),
                       num_workers: int | None = None) -> list[ConvertedSplit]:
    """Write ``out_dir/simipu_infos_<split>.pkl`` for each split.

    Reads ``{training,testing}/{image_2,calib,velodyne or velodyne_reduced}`` and the lists in
    ``ImageSets/``; paths in the info files are relative to ``root_path``, the ``data_root`` of a
    config. Images may be PNG or JPEG, and files and lists may write a frame's number with different digits.

    Args:
        root_path: Folder with ``training/`` (and ``testing/``, ``ImageSets/``).
        out_dir: Where to write; made if need be.
        splits: Names of lists in ``ImageSets/`` or paths of text files with one frame number per
            line; of a list with several columns, the one that names frames is taken. A list called
            ``test...`` is about ``testing/``, any other about ``training/``.
            None: all lists in ``ImageSets/``; those that are empty or whose folder is not there (KITTI
            comes in parts) are left out and reported.
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
        split_files, left_out = _usable(root_path, split_files)
    written = [_create_split(root_path, Path(out_dir), split_file, clouds, subset, num_workers)
               for split_file in split_files]
    return [*written[:-1], written[-1]._replace(left_out=left_out)]


def kitti_calibration(path: PathLike, named_by: str = 'the data set') -> KittiCalibration:
    """Calibration of camera 2, from a file of KITTI's object, tracking or odometry set.

    ``lidar2cam = R0_rect @ Tr_velo_to_cam`` ends in the rectified frame of camera 0, and
    ``cam2img = P2`` holds camera 2's offset in its fourth column (KITTI's convention). The odometry set's ``Tr``
    is both of them in one. Without ``R0_rect``, the cameras are taken to be rectified already.

    Raises:
        DataError: ``P2`` or ``Tr_velo_to_cam`` is missing, or a matrix is malformed or singular.
    """
    values = {_TRACKING_NAMES.get(key, key): value for key, value in read_key_values(path, named_by).items()}
    if 'Tr' in values and not {'R0_rect', 'Tr_velo_to_cam'} & set(values):
        return KittiCalibration(read_matrix(values, 'P2', (3, 4), path), read_matrix(values, 'Tr', (3, 4), path), False)
    assumed = 'R0_rect' not in values
    rectify = np.eye(4) if assumed else read_matrix(values, 'R0_rect', (3, 3), path)
    return KittiCalibration(read_matrix(values, 'P2', (3, 4), path),
                            rectify @ read_matrix(values, 'Tr_velo_to_cam', (3, 4), path), assumed)


def _split_files(root_path: Path, splits: Sequence[str] | None) -> list[Path]:
    folder = root_path / 'ImageSets'
    if splits is None:
        files = _lists(folder)
        if not any(read_text(file).strip() for file in files):
            raise DataError(f'no lists of frames in {folder}; expected train.txt and the like with '
                            'one frame number per line. Give your own list files with --splits')
        return files
    files = [Path(split) if split.endswith('.txt') else folder / f'{split}.txt' for split in splits]
    if len({file.stem for file in files}) < len(files):
        raise DataError(f'--splits: {", ".join(map(str, files))}: info files are named after their lists; give each '
                        'list another name')
    for file in files:
        if not os.path.exists(file):
            present = ', '.join(path.stem for path in _lists(folder)) or 'none'
            raise DataError(f'no list {file}; expected one frame number per line. Lists in '
                            f'{folder}: {present}')
    return files


def _lists(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob('*.txt') if not path.name.startswith('.'))


def _usable(root_path: Path, split_files: list[Path]) -> tuple[list[Path], tuple[str, ...]]:
    """The lists that name frames and whose folder is there, and in words the others."""
    empty = tuple(f'ImageSets/{file.name}: it is empty' for file in split_files if not read_text(file).strip())
    split_files = [file for file in split_files if read_text(file).strip()]
    present = [file for file in split_files if (root_path / _part(file)).is_dir()]
    if not present:
        raise DataError(f'{root_path}: neither training nor testing is there, which the lists in '
                        'ImageSets are about; complete the data set')
    left_out = tuple(f'ImageSets/{file.name}: no folder {root_path / _part(file)}'
                     for file in split_files if file not in present)
    return present, empty + left_out


def _part(split_file: Path) -> str:
    """The folder that a list of frames is about."""
    return 'testing' if split_file.stem.startswith('test') else 'training'


def _create_split(root_path: Path, out_dir: Path, split_file: Path, clouds: str | None,
                  subset: Subset, num_workers: int | None) -> ConvertedSplit:
    part = _part(split_file)
    folder = _SplitFolder(root_path, part, _cloud_folder(root_path, part, clouds))
    names, remarks = _listed_frames(split_file, folder)
    frames = [folder.frame(name, str(split_file)) for name in subset.of_frames(names)]
    remarks += _rectification_remarks(frames)
    split = write_split(out_dir / f'simipu_infos_{split_file.stem}.pkl', partial(_frame_info, root_path=root_path),
                        frames, folder.cloud_folder, partial(_frame_paths, root_path=root_path), num_workers,
                        dataset='kitti', split=split_file.stem)
    return split._replace(remarks=tuple(remarks))


class _SplitFolder:
    """The files of ``training/`` or ``testing/``."""

    def __init__(self, root_path: Path, part: str, cloud_folder: str) -> None:
        self.root_path = root_path
        self.part = part
        self.cloud_folder = cloud_folder
        self.clouds = FrameFiles(root_path / cloud_folder, CLOUD_SUFFIXES)
        self.images = FrameFiles(root_path / part / 'image_2', IMAGE_SUFFIXES)
        self.calibs = FrameFiles(root_path / part / 'calib', ('.txt', ))

    def frame(self, name: str, named_by: str) -> KittiFrame:
        """The frame with its calibration; a DataError if a file of it is missing."""
        calib = f'{self.part}/calib/{self.calibs.require(name, named_by)}'
        return KittiFrame(name, f'{self.cloud_folder}/{self.clouds.require(name, named_by)}',
                          f'{self.part}/image_2/{self.images.require(name, named_by)}', calib,
                          kitti_calibration(self.root_path / calib, named_by))


def _listed_frames(split_file: Path, folder: _SplitFolder) -> tuple[list[str], list[str]]:
    """Names of the frames in a list, each once, and remarks about what was chosen."""
    lines = [line for line in read_text(split_file).split('\n') if line.strip() and not line.startswith('#')]
    if not lines:
        raise DataError(f'{split_file} is empty; expected one frame number per line')
    # Some lists have paths of images or clouds, with separators of either system.
    rows = [[_without_suffix(PureWindowsPath(entry)) for entry in re.findall(r'[^\s,;]+', line)] for line in lines]
    names, remarks = _frame_column(rows, split_file, folder)
    frames: dict[str, str] = {}
    for name in names:
        frames.setdefault(folder.clouds.find(name) or name, name)  # 7 and 000007 are one frame
    if len(frames) < len(names):
        remarks.append(f'{split_file}: {len(names) - len(frames)} of {len(names)} entries repeat a frame; each frame '
                       'is taken once')
    return list(frames.values()), remarks


def _without_suffix(path: PureWindowsPath) -> str:
    """The name of a frame, of a path of one of its files; a number with a fraction is none, and stays as it is."""
    return path.name if path.suffix[1:].isdecimal() else path.stem


def _frame_column(rows: list[list[str]], split_file: Path, folder: _SplitFolder) -> tuple[list[str], list[str]]:
    """The column that names most clouds exactly; all columns if there is one row only."""
    if len(rows) == 1 and all(map(folder.clouds.find, rows[0])):
        return rows[0], []
    width = max(map(len, rows))
    columns = [[row[column] for row in rows if column < len(row)] for column in range(width)]
    matches = [sum(name in folder.clouds.by_stem for name in column) for column in columns]
    chosen = matches.index(max(matches))
    if len(columns[chosen]) < len(rows):
        raise DataError(f'{split_file}: column {chosen + 1} has the numbers of frames, but only {len(columns[chosen])} '
                        f'of {len(rows)} lines have that column; expected one frame number per line')
    remarks = [f'{split_file} has {width} columns; column {chosen + 1} was taken for the frames'] if width > 1 else []
    return columns[chosen], remarks


def _rectification_remarks(frames: list[KittiFrame]) -> list[str]:
    """What was assumed where no frame has R0_rect; a DataError where only some have."""
    lacking = [frame for frame in frames if frame.calibration.rectification_assumed]
    if not lacking:
        return []
    if len(lacking) < len(frames):
        raise DataError(f'{lacking[0].calib}: no R0_rect, as in {len(lacking)} of {len(frames)} calibration files, '
                        'while the others have it; restore the original files')
    return [f'{lacking[0].calib} and all others: no R0_rect; Tr_velo_to_cam is taken to lead to the rectified '
            'camera (R0_rect = identity)']


def _cloud_folder(root_path: Path, part: str, clouds: str | None) -> str:
    candidates = [clouds] if clouds else CLOUD_FOLDERS
    for candidate in candidates:
        if (root_path / part / candidate).is_dir():
            return f'{part}/{candidate}'
    raise DataError(f'no folder {" or ".join(str(root_path / part / c) for c in candidates)}; '
                    'expected the point clouds there. Complete the data set, or choose other lists '
                    'with --splits')


def _frame_paths(frame: KittiFrame, root_path: Path) -> list[Path]:
    return [root_path / frame.cloud, root_path / frame.image, root_path / frame.calib]


def _frame_info(frame: KittiFrame, root_path: Path) -> dict:
    named_by = f'frame {frame.name}'
    check_point_file(root_path / frame.cloud, NUM_POINT_FEATS, named_by)
    size = image_size(root_path / frame.image, named_by)
    cam2img, lidar2cam, _ = frame.calibration
    check_against_intrinsics(size, cam2img, str(root_path / frame.image), f'P2 in {root_path / frame.calib}')
    return dict(
        sample_idx=int(frame.name) if frame.name.isdecimal() else frame.name,
        images=dict(CAM2=camera_info(frame.image, size, cam2img, lidar2cam)),
        lidar_points=dict(lidar_path=frame.cloud, num_pts_feats=NUM_POINT_FEATS))
