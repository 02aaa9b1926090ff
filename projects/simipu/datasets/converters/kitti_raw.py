"""KITTI's raw data (folders by date) and its odometry sequences to info files.

Both are rectified: ``lidar2img = P_rect @ R_rect_00 @ Tr_velo_to_cam`` (Geiger et al., Vision meets
Robotics: The KITTI Dataset, IJRR 2013). The devkit's odometry files hold ``P`` and ``Tr``, in
which the rotation is contained.
"""
from collections.abc import Sequence
from datetime import UTC, datetime
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
    read_numbers,
    require_file,
    require_folder,
    spread,
    write_split,
)

CAMERAS = ('CAM2', 'CAM3')  # the colour cameras, left and right
NUM_POINT_FEATS = 4  # x, y, z, intensity
VAL_SCENES = 0.1  # share of the scenes for validation; KITTI has no official split of them


class Calibration(NamedTuple):
    """(4, 4) matrices; the pixel of a point is ``cam2img @ lidar2cam @ point``."""
    cam2img: dict[str, np.ndarray]  # by camera
    lidar2cam: np.ndarray  # to the rectified frame of camera 0


class Scene(NamedTuple):
    """A drive or sequence: folders below the data root, and what its frames share."""
    name: str
    cloud_folder: str
    image_folders: dict[str, str]  # by camera
    calibration: Calibration
    timestamps: list[float]  # seconds, by frame number


class KittiFrame(NamedTuple):
    """One frame of a scene; ``number`` as in its file names."""
    scene: Scene
    number: str


def create_kitti_raw_infos(root_path: PathLike,
                           out_dir: PathLike,
                           cameras: Sequence[str] = CAMERAS,
                           val_scenes: float = VAL_SCENES,
                           subset: Subset = Subset(),
                           num_workers: int | None = None) -> list[ConvertedSplit]:
    """Write ``out_dir/simipu_infos_{train,val}.pkl`` of KITTI's raw data.

    Reads ``<date>/{calib_cam_to_cam,calib_velo_to_cam}.txt`` and of each
    ``<date>/<drive>_sync/``: ``image_02``, ``image_03`` and ``velodyne_points``. Frames without
    cloud or image (KITTI lacks some) are left out and reported.

    Args:
        root_path: Folder with the folders of dates.
        out_dir: Where to write; made if need be.
        cameras: 'CAM2', 'CAM3' or both.
        val_scenes: Share of the drives, evenly spread, that is kept for validation; 0: none.
        subset: Which part to convert.
        num_workers: Number of processes; None: one for each available core.

    Raises:
        DataError: Something is missing or malformed; nothing is written for that split.
    """
    root_path = require_folder(root_path, 'KITTI raw data there, with folders 2011_09_26 and the '
                               'like')
    drives = sorted(root_path.glob('*/*_sync'))
    if not drives:
        raise DataError(f'{root_path}: no drives; expected folders such as '
                        '2011_09_26/2011_09_26_drive_0001_sync (synced and rectified data)')
    return _create_infos([partial(_drive, drive, root_path, _known(cameras)) for drive in drives],
                         root_path, out_dir, 'kitti_raw', val_scenes, subset, num_workers)


def create_kitti_odometry_infos(root_path: PathLike,
                                out_dir: PathLike,
                                cameras: Sequence[str] = CAMERAS,
                                val_scenes: float = VAL_SCENES,
                                subset: Subset = Subset(),
                                num_workers: int | None = None) -> list[ConvertedSplit]:
    """Write ``out_dir/simipu_infos_{train,val}.pkl`` of KITTI's odometry sequences.

    Reads ``sequences/NN/{calib.txt,times.txt,image_2,image_3,velodyne}``; see
    :func:`create_kitti_raw_infos` for the arguments.
    """
    root_path = require_folder(root_path, 'the KITTI odometry set there, with sequences/00 and the '
                               'like')
    folders = sorted(path for path in root_path.glob('sequences/*') if path.is_dir())
    if not folders:
        raise DataError(f'{root_path}: no sequences; expected folders sequences/00 and the like')
    return _create_infos([partial(_sequence, folder, root_path, _known(cameras))
                          for folder in folders],
                         root_path, out_dir, 'kitti_odometry', val_scenes, subset, num_workers)


def _known(cameras: Sequence[str]) -> Sequence[str]:
    unknown = [name for name in cameras if name not in CAMERAS]
    if unknown or not cameras:
        raise DataError(f'unknown cameras {", ".join(unknown)}; expected {" or ".join(CAMERAS)}')
    return cameras


def _create_infos(scenes: list, root_path: Path, out_dir: PathLike, dataset: str,
                  val_scenes: float, subset: Subset,
                  num_workers: int | None) -> list[ConvertedSplit]:
    """``scenes`` are functions that read a Scene, so that only those that are taken are read."""
    if not 0 <= val_scenes < 1:
        raise DataError(f'expected 0 <= --val-scenes < 1, got {val_scenes}')
    val = spread(scenes, val_scenes) if val_scenes and len(scenes) > 1 else []
    splits = dict(train=[scene for scene in scenes if scene not in val], val=val)
    written, left_out = [], []
    for split, of_split in splits.items():
        frames = []
        for read_scene in subset.of_scenes(of_split) if of_split else []:
            scene = read_scene()
            numbers, lacking = _frame_numbers(scene, root_path)
            frames += [KittiFrame(scene, number) for number in subset.of_frames(numbers)]
            left_out += lacking
        if frames:
            written.append(write_split(
                Path(out_dir) / f'simipu_infos_{split}.pkl',
                partial(_frame_info, root_path=root_path), frames, frames[0].scene.cloud_folder,
                num_workers, dataset=dataset, split=split))
    if not written:
        raise DataError(f'{root_path}: no frame with a cloud and images of the chosen cameras')
    return [*written[:-1], written[-1]._replace(left_out=tuple(left_out))]


def _frame_numbers(scene: Scene, root_path: Path) -> tuple:
    """Numbers of the frames that are complete, and a line that counts those that are not."""
    folders = [scene.cloud_folder, *scene.image_folders.values()]
    numbers = [{path.stem for path in (root_path / folder).iterdir()}
               if (root_path / folder).is_dir() else set() for folder in folders]
    complete, any_part = set.intersection(*numbers), set.union(*numbers)
    lacking = sorted(any_part - complete)
    lines = [f'{scene.name}: {len(lacking)} of {len(any_part)} frames lack a cloud or an image, '
             f'{lacking[0]} the first'] if lacking else []
    return sorted(complete), lines


def _frame_info(frame: KittiFrame, root_path: Path) -> dict:
    scene, number = frame
    lidar_path = f'{scene.cloud_folder}/{number}.bin'
    check_point_file(root_path / lidar_path, NUM_POINT_FEATS, scene.name)
    if int(number) >= len(scene.timestamps):
        raise DataError(f'{scene.name}: {len(scene.timestamps)} time stamps, but a frame {number}; '
                        'restore the original time stamps')
    images = {}
    for camera, folder in scene.image_folders.items():
        img_path = f'{folder}/{number}.png'
        images[camera] = camera_info(img_path, image_size(root_path / img_path, scene.name),
                                     scene.calibration.cam2img[camera],
                                     scene.calibration.lidar2cam)
    return dict(sample_idx=f'{scene.name}/{number}', sequence=scene.name,
                timestamp=scene.timestamps[int(number)], images=images,
                lidar_points=dict(lidar_path=lidar_path, num_pts_feats=NUM_POINT_FEATS))


def _drive(folder: Path, root_path: Path, cameras: Sequence[str]) -> Scene:
    """A drive of the raw data."""
    path = folder.relative_to(root_path).as_posix()
    return Scene(
        name=folder.name, cloud_folder=f'{path}/velodyne_points/data',
        image_folders={camera: f'{path}/image_0{camera[-1]}/data' for camera in cameras},
        calibration=_raw_calibration(folder.parent, cameras),
        timestamps=_date_times(folder / 'velodyne_points/timestamps.txt', folder.name))


def _raw_calibration(date: Path, cameras: Sequence[str]) -> Calibration:
    cam_path, velo_path = date / 'calib_cam_to_cam.txt', date / 'calib_velo_to_cam.txt'
    cam_to_cam = read_key_values(cam_path, date.name)
    velo_to_cam = read_key_values(velo_path, date.name)
    velo2cam = np.eye(4)
    velo2cam[:3, :3] = read_matrix(velo_to_cam, 'R', (3, 3), velo_path)[:3, :3]
    velo2cam[:3, 3] = read_numbers(velo_to_cam, 'T', (3, ), velo_path)
    return Calibration({camera: read_matrix(cam_to_cam, f'P_rect_0{camera[-1]}', (3, 4), cam_path)
                        for camera in cameras},
                       read_matrix(cam_to_cam, 'R_rect_00', (3, 3), cam_path) @ velo2cam)


def _date_times(path: Path, named_by: str) -> list[float]:
    """Seconds of lines such as '2011-09-26 13:02:25.951199337'."""
    require_file(path, named_by)
    times = []
    for line in path.read_text().split('\n'):
        if line.strip():
            try:
                # To microseconds, which is all that datetime keeps.
                time = datetime.fromisoformat(line.strip()[:26])
            except ValueError:
                raise DataError(f'{path}: expected lines such as "2011-09-26 13:02:25.951199337", '
                                f'found "{line}"; restore the original file') from None
            times.append(time.replace(tzinfo=UTC).timestamp())
    return times


def _sequence(folder: Path, root_path: Path, cameras: Sequence[str]) -> Scene:
    """An odometry sequence."""
    path, calib = folder.relative_to(root_path).as_posix(), folder / 'calib.txt'
    values = read_key_values(calib, f'sequence {folder.name}')
    cam2img = {camera: read_matrix(values, f'P{camera[-1]}', (3, 4), calib) for camera in cameras}
    return Scene(
        name=folder.name, cloud_folder=f'{path}/velodyne',
        image_folders={camera: f'{path}/image_{camera[-1]}' for camera in cameras},
        calibration=Calibration(cam2img, read_matrix(values, 'Tr', (3, 4), calib)),
        timestamps=_seconds(folder / 'times.txt', f'sequence {folder.name}'))


def _seconds(path: Path, named_by: str) -> list[float]:
    require_file(path, named_by)
    try:
        return [float(number) for number in path.read_text().split()]
    except ValueError:
        raise DataError(f'{path}: expected one number (seconds) per line; restore the original '
                        'file') from None
