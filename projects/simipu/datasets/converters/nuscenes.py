"""nuScenes to info files; annotations are not read.

The vehicle moves between the time stamps of LiDAR and cameras. ``lidar2img`` takes that into account,
by the ego poses of both: LiDAR -> ego at the sweep's time -> global -> ego at the image's time ->
camera -> image.
"""
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...errors import DataError
from ..readers.fields import MICROSECONDS, PIXELS
from .common import (
    ConvertedSplit,
    PathLike,
    Subset,
    camera_info,
    check_point_file,
    image_size,
    invertible_4x4,
    require_folder,
    spread,
    write_split,
)
from .image_sizes import Size, check_against_intrinsics, check_recorded_size
from .nuscenes_tables import NuscenesTables

LIDAR = 'LIDAR_TOP'
CAMERAS = ('CAM_FRONT', 'CAM_FRONT_RIGHT', 'CAM_FRONT_LEFT', 'CAM_BACK', 'CAM_BACK_LEFT',
           'CAM_BACK_RIGHT')
NUM_POINT_FEATS = 5  # x, y, z, intensity, beam
# Split of ours, and name of its list of scenes in nuscenes.utils.splits.
VERSIONS = {
    'v1.0-mini': {'train': 'mini_train', 'val': 'mini_val'},
    'v1.0-trainval': {'train': 'train', 'val': 'val'},
    'v1.0-test': {'test': 'test'},
}


class Recording(NamedTuple):
    """One record of nuScenes' table ``sample_data``, with its sensor and pose."""
    filename: str
    timestamp: float  # seconds
    sensor_to_global: np.ndarray  # (4, 4)
    size: Size | None = None  # of images, by the table, if it says so
    intrinsics: np.ndarray | None = None  # (3, 3); of cameras


class NuscenesFrame(NamedTuple):
    """A sweep and the images that go with it."""
    sample_idx: int
    scene: str
    token: str  # of the sample, for a key frame; else of the sweep
    lidar: Recording
    images: dict[str, Recording]  # by camera


def create_nuscenes_infos(root_path: PathLike,
                          out_dir: PathLike,
                          version: str = 'v1.0-trainval',
                          cameras: Sequence[str] = CAMERAS,
                          sweeps: int = 0,
                          subset: Subset = Subset(),
                          num_workers: int | None = None) -> list[ConvertedSplit]:
    """Write ``out_dir/simipu_infos_{train,val}.pkl``, or ``..._test.pkl``, by the official splits.

    Scenes that the tables list but whose files are not there (nuScenes comes in parts) are left out
    and reported.

    Args:
        root_path: Folder with ``samples/``, ``sweeps/`` and the tables, ``v1.0-.../``.
        out_dir: Where to write; made if need be.
        version: 'v1.0-mini', 'v1.0-trainval' or 'v1.0-test'.
        cameras: Which of the six.
        sweeps: Extra clouds: of the sweeps between two key frames, take up to so many, evenly
            spread, each as a frame of its own with the images nearest to it in time.
        subset: Which part to convert. Key frames are counted before sweeps are added.
        num_workers: Number of processes; None: one for each available core.

    Raises:
        DataError: Something is missing or malformed; nothing is written for that split.
    """
    tables = _load_tables(root_path, version)
    unknown = [name for name in cameras if name not in CAMERAS]
    if unknown or sweeps < 0:
        raise DataError(f'expected cameras out of {", ".join(CAMERAS)} and --sweeps >= 0, got '
                        f'{", ".join(cameras)} and {sweeps}')
    reader = _FrameReader(Path(root_path), tables, cameras, sweeps, subset)
    written, left_out = [], []
    scenes = {tables.get('scene', scene, 'name', str): scene for scene in tables.scenes}
    official = _scene_names(version)
    others = sorted(set(scenes).difference(*official.values()))
    if others:
        left_out.append(f'{len(others)} scenes that are not in the official splits of {version}, such as {others[0]}')
    for split, names in official.items():
        frames, lacking = reader.read([scene for name, scene in scenes.items() if name in names])
        left_out += lacking
        if not frames:
            continue
        convert = partial(_frame_info, root_path=Path(root_path))
        written.append(write_split(
            Path(out_dir) / f'simipu_infos_{split}.pkl', convert, frames, f'samples/{LIDAR}',
            partial(_frame_paths, root_path=Path(root_path)), num_workers, dataset='nuscenes', split=split,
            version=version))
    if not written:
        raise DataError('\n'.join([f'{root_path}: no scene of {version} has its files here; expected samples/{LIDAR}/'
                                   '*.pcd.bin. Unpack the data beside the tables', *left_out]))
    return [*written[:-1], written[-1]._replace(left_out=tuple(left_out))]


def _load_tables(root_path: PathLike, version: str) -> NuscenesTables:
    if version not in VERSIONS:
        raise DataError(f'unknown version {version!r}; expected one of {", ".join(VERSIONS)}')
    require_folder(root_path, 'nuScenes there, with samples/ and the tables')
    return NuscenesTables(require_folder(Path(root_path) / version, f'the tables of nuScenes {version} there'))


def _scene_names(version: str) -> dict[str, list[str]]:
    from nuscenes.utils import splits  # here, so that the other converters do without nuscenes-devkit
    return {split: getattr(splits, name) for split, name in VERSIONS[version].items()}


class _FrameReader:
    """Reads frames from nuScenes' tables."""

    def __init__(self, root_path: Path, tables: NuscenesTables, cameras: Sequence[str], sweeps: int,
                 subset: Subset) -> None:
        self.root_path = root_path
        self.tables = tables
        self.cameras = cameras
        self.sweeps = sweeps
        self.subset = subset

    def read(self, scenes: list[dict]) -> tuple[list[NuscenesFrame], list[str]]:
        """Frames of the scenes that are there, and a line for each scene that is not."""
        frames, left_out, present = [], [], []
        for scene in scenes:
            filename = self.tables.get('sample_data', self._first_recording(scene, LIDAR), 'filename', str)
            if os.path.exists(self.root_path / filename):
                present.append(scene)
            else:
                left_out.append(f'{scene["name"]}: no file {filename}')
        for scene in self.subset.of_scenes(present) if present else []:
            for key_frame, lidar, images in self._scene_frames(scene):
                token = key_frame['token'] if key_frame else lidar['token']
                frames.append(NuscenesFrame(
                    len(frames), scene['name'], token, self._recording(lidar),
                    {name: self._image(image) for name, image in images.items()}))
        return frames, left_out

    def _first_sample(self, scene: dict) -> dict:
        return self.tables.follow('scene', scene, 'first_sample_token', 'sample')

    def _first_recording(self, scene: dict, sensor: str) -> dict:
        return self.tables.key_frame(self._first_sample(scene), sensor)

    def _recordings(self, scene: dict, sensor: str) -> list[dict]:
        return self.tables.recordings(self._first_recording(scene, sensor))

    def _scene_frames(self, scene: dict):
        """(sample or None, LiDAR recording, images by camera) of all frames in order of time."""
        taken = self.subset.of_frames(self.tables.chain('sample', self._first_sample(scene)))
        between = self._sweeps_between(scene) if self.sweeps else {}
        images = {name: _ByTime(self._recordings(scene, name), self._timestamp)
                  for name in (self.cameras if self.sweeps else ())}
        for sample in taken:
            lidar = self.tables.key_frame(sample, LIDAR)
            yield sample, lidar, {name: self.tables.key_frame(sample, name) for name in self.cameras}
            for sweep in between.get(lidar['token'], ()):
                yield None, sweep, {name: recorded.nearest(self._timestamp(sweep))
                                    for name, recorded in images.items()}

    def _sweeps_between(self, scene: dict) -> dict[str, list[dict]]:
        """By key sweep: those that follow it, before the next one."""
        following: dict[str, list[dict]] = {}
        for sweep in self._recordings(scene, LIDAR):
            if sweep['is_key_frame']:
                current = following.setdefault(sweep['token'], [])
            else:
                current.append(sweep)
        return {token: spread(sweeps, min(1, self.sweeps / len(sweeps)))
                for token, sweeps in following.items() if sweeps}

    def _timestamp(self, record: dict) -> float:
        """In microseconds."""
        return self.tables.number('sample_data', record, 'timestamp', MICROSECONDS)

    def _recording(self, record: dict) -> Recording:
        tables = self.tables
        sensor = tables.follow('sample_data', record, 'calibrated_sensor_token', 'calibrated_sensor')
        ego = tables.follow('sample_data', record, 'ego_pose_token', 'ego_pose')
        return Recording(tables.get('sample_data', record, 'filename', str), self._timestamp(record) / 1e6,
                         tables.pose('ego_pose', ego) @ tables.pose('calibrated_sensor', sensor))

    def _image(self, record: dict) -> Recording:
        sensor = self.tables.follow('sample_data', record, 'calibrated_sensor_token', 'calibrated_sensor')
        size = None
        if record.get('width') and record.get('height'):
            size = Size(*(self.tables.number('sample_data', record, side, PIXELS) for side in ('width', 'height')))
        return self._recording(record)._replace(
            size=size, intrinsics=self.tables.numbers('calibrated_sensor', sensor, 'camera_intrinsic', (3, 3)))


class _ByTime:
    """Recordings of one sensor, to be found by time."""

    def __init__(self, records: list[dict], timestamp: Callable[[dict], float]) -> None:
        self.records = records
        self.times = np.array([timestamp(record) for record in records])

    def nearest(self, timestamp: float) -> dict:
        return self.records[int(np.abs(self.times - timestamp).argmin())]


def _frame_paths(frame: NuscenesFrame, root_path: Path) -> list[Path]:
    return [root_path / recording.filename for recording in (frame.lidar, *frame.images.values())]


def _frame_info(frame: NuscenesFrame, root_path: Path) -> dict:
    named_by = f'scene {frame.scene}'
    check_point_file(root_path / frame.lidar.filename, NUM_POINT_FEATS, named_by)
    return dict(
        sample_idx=frame.sample_idx, token=frame.token, sequence=frame.scene,
        timestamp=frame.lidar.timestamp,
        images={name: _image_info(image, frame.lidar, root_path, named_by)
                for name, image in frame.images.items()},
        lidar_points=dict(lidar_path=frame.lidar.filename, num_pts_feats=NUM_POINT_FEATS))


def _image_info(image: Recording, lidar: Recording, root_path: Path, named_by: str) -> dict:
    path = root_path / image.filename
    size = image_size(path, named_by)
    cam2img = invertible_4x4(image.intrinsics, 'camera_intrinsic', path)
    if image.size:
        check_recorded_size(size, image.size, str(path), 'sample_data.json')
    else:
        check_against_intrinsics(size, cam2img, str(path), 'camera_intrinsic')
    lidar2cam = np.linalg.inv(image.sensor_to_global) @ lidar.sensor_to_global
    return camera_info(image.filename, size, cam2img, lidar2cam, timestamp=image.timestamp)
