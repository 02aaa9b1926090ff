"""KITTI's raw data (folders by date) and its odometry sequences to info files.

Both are rectified: ``lidar2img = P_rect @ R_rect_00 @ Tr_velo_to_cam`` (Geiger et al., Vision meets
Robotics: The KITTI Dataset, IJRR 2013). The devkit's odometry files hold ``P`` and ``Tr``, in
which the rotation is contained.
"""
import re
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...errors import DataError
from ...files import shown
from .calibration_files import read_key_values, read_matrix, read_numbers
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
from .image_sizes import Size, check_against_intrinsics, check_recorded_size
from .splitting import ValScenes, choose_val_scenes
from .text_files import read_text

CAMERAS = ('CAM2', 'CAM3')  # the colour cameras, left and right
NUM_POINT_FEATS = 4  # x, y, z, intensity
_SECONDS = re.compile(r'\d{1,12}(\.\d{1,20})?(e[-+]?0?\d)?', re.ASCII)
_DATE_TIME = re.compile(r'\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{1,9})?', re.ASCII)
VAL_SCENES = 0.1  # share of the scenes for validation; KITTI has no official split of them


class Camera(NamedTuple):
    """One camera of a scene, with what is the same for all its images."""
    folder: str  # of its images, relative to the data root
    cam2img: np.ndarray  # (4, 4)
    calibration: str  # what to call cam2img in messages
    recorded_size: Size | None  # of the images, by the calibration file


class Scene(NamedTuple):
    """A drive or sequence."""
    name: str
    cloud_folder: str  # relative to the data root
    cameras: dict[str, Camera]
    missing_cameras: list[str]  # that would have been taken if they had images
    lidar2cam: np.ndarray  # (4, 4), to the rectified frame of camera 0
    timestamps: list[float | None] | None  # seconds, by frame number; None for an empty line, or no file


class KittiFrame(NamedTuple):
    """One frame of a scene; ``number`` as in the file name of its cloud, paths relative to the data root."""
    scene: Scene
    number: str
    cloud: str
    images: dict[str, str]  # by camera


def create_kitti_raw_infos(root_path: PathLike,
                           out_dir: PathLike,
                           cameras: Sequence[str] | None = None,
                           val_scenes: ValScenes = VAL_SCENES,
                           subset: Subset = Subset(),
                           num_workers: int | None = None) -> list[ConvertedSplit]:
    """Write ``out_dir/simipu_infos_{train,val}.pkl`` of KITTI's raw data.

    Reads ``<date>/{calib_cam_to_cam,calib_velo_to_cam}.txt`` and of each
    ``<date>/<drive>_sync/``: ``image_02``, ``image_03`` and ``velodyne_points``. Frames without
    cloud or image (KITTI lacks some) are left out and reported.

    Args:
        root_path: Folder with the folders of dates.
        out_dir: Where to write; made if need be.
        cameras: 'CAM2', 'CAM3' or both. None: of each drive those that have images; where one is missing, that is
            reported.
        val_scenes: Share of the drives, evenly spread, that is kept for validation (0: none), or their names.
        subset: Which part to convert.
        num_workers: Number of processes; None: one for each available core.

    Raises:
        DataError: Something is missing or malformed; nothing is written for that split.
    """
    root_path = require_folder(root_path, 'KITTI raw data there, with folders 2011_09_26 and the '
                               'like')
    drives = _folders(root_path, '*/*_sync')
    if not drives:
        raise DataError(f'{root_path}: no drives; expected folders such as '
                        '2011_09_26/2011_09_26_drive_0001_sync (synced and rectified data)')
    return _create_infos({drive.name: partial(_drive, drive, root_path, _known(cameras)) for drive in drives},
                         root_path, out_dir, 'kitti_raw', val_scenes, subset, num_workers)


def create_kitti_odometry_infos(root_path: PathLike,
                                out_dir: PathLike,
                                cameras: Sequence[str] | None = None,
                                val_scenes: ValScenes = VAL_SCENES,
                                subset: Subset = Subset(),
                                num_workers: int | None = None) -> list[ConvertedSplit]:
    """Write ``out_dir/simipu_infos_{train,val}.pkl`` of KITTI's odometry sequences.

    Reads ``sequences/NN/{calib.txt,times.txt,image_2,image_3,velodyne}``; see
    ``create_kitti_raw_infos`` for the arguments.
    """
    root_path = require_folder(root_path, 'the KITTI odometry set there, with sequences/00 and the '
                               'like')
    folders = _folders(root_path, 'sequences/*')
    if not folders:
        raise DataError(f'{root_path}: no sequences; expected folders sequences/00 and the like')
    return _create_infos({folder.name: partial(_sequence, folder, root_path, _known(cameras)) for folder in folders},
                         root_path, out_dir, 'kitti_odometry', val_scenes, subset, num_workers)


def _folders(root_path: Path, pattern: str) -> list[Path]:
    return sorted(path for path in root_path.glob(pattern) if path.is_dir() and not path.name.startswith('.'))


def _known(cameras: Sequence[str] | None) -> Sequence[str] | None:
    unknown = [name for name in cameras or () if name not in CAMERAS]
    if unknown or cameras is not None and not cameras:
        raise DataError(f'unknown cameras {", ".join(unknown)}; expected {" or ".join(CAMERAS)}')
    return cameras


def _create_infos(scenes: dict, root_path: Path, out_dir: PathLike, dataset: str,
                  val_scenes: ValScenes, subset: Subset,
                  num_workers: int | None) -> list[ConvertedSplit]:
    """``scenes`` are, by name, functions that read a Scene, so that only those that are taken are read."""
    val = choose_val_scenes(list(scenes), val_scenes)
    splits = dict(train=[read for name, read in scenes.items() if name not in val],
                  val=[scenes[name] for name in val])
    written, left_out, taken = [], [], []
    for split, of_split in splits.items():
        frames = []
        for read_scene in subset.of_scenes(of_split) if of_split else []:
            scene = read_scene()
            complete, lacking = _complete_frames(scene, root_path)
            frames += subset.of_frames(complete)
            left_out += lacking
            taken += [scene] if complete else []
        if frames:
            written.append(write_split(
                Path(out_dir) / f'simipu_infos_{split}.pkl', partial(_frame_info, root_path=root_path), frames,
                frames[0].scene.cloud_folder, partial(_frame_paths, root_path=root_path), num_workers,
                dataset=dataset, split=split))
    if not written:
        raise DataError('\n'.join([f'{root_path}: no frame with a cloud and images of the chosen cameras', *left_out]))
    return [*written[:-1], written[-1]._replace(left_out=tuple(left_out), remarks=tuple(_remarks(taken)))]


def _complete_frames(scene: Scene, root_path: Path) -> tuple[list[KittiFrame], list[str]]:
    """The frames that have a cloud and all images, and a line that counts those that do not."""
    clouds = FrameFiles(root_path / scene.cloud_folder, CLOUD_SUFFIXES).by_number
    images = {name: FrameFiles(root_path / camera.folder, IMAGE_SUFFIXES).by_number
              for name, camera in scene.cameras.items()}
    complete = set(clouds).intersection(*images.values())
    any_part = set(clouds).union(*images.values())
    lacking = sorted(any_part - complete)
    lines = [f'{scene.name}: {len(lacking)} of {len(any_part)} frames lack a cloud or an image, frame {lacking[0]} '
             'the first'] if lacking else []
    frames = [KittiFrame(scene, Path(clouds[number]).stem, f'{scene.cloud_folder}/{clouds[number]}',
                         {name: f'{scene.cameras[name].folder}/{files[number]}' for name, files in images.items()})
              for number in sorted(complete)]
    return frames, lines


def _remarks(scenes: list[Scene]) -> list[str]:
    """What these scenes lack that nobody asked for by name."""
    remarks = [f'{scene.name}: no images of {name}; its frames have {" and ".join(scene.cameras)} only'
               for scene in scenes for name in scene.missing_cameras]
    if len({len(scene.cameras) for scene in scenes}) > 1:
        remarks.append('frames have 1 or 2 cameras, and a batch needs the same number: put '
                       "dict(type='SampleCameras', num_cameras=1) before LoadPairedImages in the config")
    return remarks + [f'{scene.name}: no file of time stamps; its frames have none' for scene in scenes
                      if scene.timestamps is None]


def _frame_paths(frame: KittiFrame, root_path: Path) -> list[Path]:
    return [root_path / path for path in (frame.cloud, *frame.images.values())]


def _frame_info(frame: KittiFrame, root_path: Path) -> dict:
    scene = frame.scene
    check_point_file(root_path / frame.cloud, NUM_POINT_FEATS, scene.name)
    images = {name: _image_info(path, scene.cameras[name], scene, root_path) for name, path in frame.images.items()}
    info = dict(sample_idx=f'{scene.name}/{frame.number}', sequence=scene.name, images=images,
                lidar_points=dict(lidar_path=frame.cloud, num_pts_feats=NUM_POINT_FEATS))
    return info if scene.timestamps is None else dict(info, timestamp=_timestamp(frame))


def _image_info(path: str, camera: Camera, scene: Scene, root_path: Path) -> dict:
    size = image_size(root_path / path, scene.name)
    if camera.recorded_size:
        check_recorded_size(size, camera.recorded_size, str(root_path / path), camera.calibration)
    else:
        check_against_intrinsics(size, camera.cam2img, str(root_path / path), camera.calibration)
    return camera_info(path, size, camera.cam2img, scene.lidar2cam)


def _timestamp(frame: KittiFrame) -> float:
    """By the line of the file, which is empty where a cloud is missing."""
    times, number = frame.scene.timestamps, int(frame.number)
    if number >= len(times) or times[number] is None:
        found = 'an empty one' if number < len(times) else f'only {len(times)} lines'
        raise DataError(f'{frame.scene.name}: expected a time stamp in line {number + 1}, as there is a frame '
                        f'{frame.number}, found {found}; restore the original file, with its empty lines')
    return times[number]


def _present(folders: dict[str, str], cameras: Sequence[str] | None, root_path: Path) -> Sequence[str]:
    """The cameras that were asked for; else those with images, or all if none has any."""
    return cameras or [name for name, folder in folders.items()
                       if FrameFiles(root_path / folder, IMAGE_SUFFIXES).by_number] or CAMERAS


def _drive(folder: Path, root_path: Path, cameras: Sequence[str] | None) -> Scene:
    """A drive of the raw data."""
    path, calib = folder.relative_to(root_path).as_posix(), folder.parent / 'calib_cam_to_cam.txt'
    folders = {name: f'{path}/image_0{name[-1]}/data' for name in CAMERAS}
    values = read_key_values(calib, folder.name)
    present = _present(folders, cameras, root_path)
    return Scene(
        name=folder.name, cloud_folder=f'{path}/velodyne_points/data',
        cameras={name: _raw_camera(name, folders[name], values, calib) for name in present},
        missing_cameras=[] if cameras else [name for name in CAMERAS if name not in present],
        lidar2cam=read_matrix(values, 'R_rect_00', (3, 3), calib) @ _velo_to_cam(folder),
        timestamps=_times(folder / 'velodyne_points/timestamps.txt', _date_time, '2011-09-26 13:02:25.951199337'))


def _raw_camera(name: str, folder: str, values: dict[str, str], path: Path) -> Camera:
    matrix, size = f'P_rect_0{name[-1]}', f'S_rect_0{name[-1]}'
    recorded = Size(*read_numbers(values, size, (2, ), path)) if size in values else None
    return Camera(folder, read_matrix(values, matrix, (3, 4), path), f'{size if recorded else matrix} in {path}',
                  recorded)


def _velo_to_cam(drive: Path) -> np.ndarray:
    path = drive.parent / 'calib_velo_to_cam.txt'
    values = read_key_values(path, drive.name)
    velo_to_cam = read_matrix(values, 'R', (3, 3), path)
    velo_to_cam[:3, 3] = read_numbers(values, 'T', (3, ), path)
    return velo_to_cam


def _sequence(folder: Path, root_path: Path, cameras: Sequence[str] | None) -> Scene:
    """An odometry sequence."""
    path, calib = folder.relative_to(root_path).as_posix(), folder / 'calib.txt'
    folders = {name: f'{path}/image_{name[-1]}' for name in CAMERAS}
    values = read_key_values(calib, f'sequence {folder.name}')
    present = _present(folders, cameras, root_path)
    return Scene(
        name=folder.name, cloud_folder=f'{path}/velodyne',
        cameras={name: Camera(folders[name], read_matrix(values, f'P{name[-1]}', (3, 4), calib),
                              f'P{name[-1]} in {calib}', None) for name in present},
        missing_cameras=[] if cameras else [name for name in CAMERAS if name not in present],
        lidar2cam=read_matrix(values, 'Tr', (3, 4), calib),
        timestamps=_times(folder / 'times.txt', _seconds, '1.037359e-01'))


def _times(path: Path, parse: Callable[[str], float], example: str) -> list[float | None] | None:
    """Seconds of each line, None for an empty one; None altogether if there is no such file."""
    if not path.exists():
        return None
    times = []
    lines = [line.strip() for line in read_text(path).rstrip().split('\n')]
    _check_alike([line for line in lines if line], path)
    for line in lines:
        try:
            times.append(parse(line) if line else None)
        except ValueError:
            raise DataError(f'{path}: expected lines such as "{example}", found "{shown(line, 60)}"; restore the '
                            'original file') from None
    return times


def _check_alike(lines: list[str], path: Path) -> None:
    """Raise a DataError if the last line ends early, which still may be a number or a time.

    KITTI writes all of a file in one format, with the same number of digits.
    """
    patterns = [re.sub('[0-9]', '0', line) for line in lines[:1] + lines[-1:]]
    if lines and len(lines[0]) > len(lines[-1]) and patterns[0].startswith(patterns[1]) and (
            'e' in lines[0] or ':' in lines[0]):
        raise DataError(f'{path}: the last line "{shown(lines[-1], 60)}" is shorter than the first, '
                        f'"{shown(lines[0], 60)}"; the file ends early. Copy it again')


def _seconds(line: str) -> float:
    if not _SECONDS.fullmatch(line):  # float() takes more: nan, infinity, 1_000
        raise ValueError(line)
    return float(line)


def _date_time(line: str) -> float:
    if not _DATE_TIME.fullmatch(line):  # fromisoformat() takes less: a date without time
        raise ValueError(line)
    # To microseconds, which is all that datetime keeps.
    return datetime.fromisoformat(line[:26]).replace(tzinfo=timezone.utc).timestamp()
