"""The JSON tables of nuScenes for synthetic scenes: what nuscenes-devkit loads.

Poses come from the rigs and annotations from the scenes. Every token is a hash of what it stands
for, so that the same set always has the same tables.
"""
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pyquaternion import Quaternion

from .actors import SceneObject
from .nuscenes_rig import CAMERAS, LIDAR, NuscenesRig
from .output_folder import write_file

SENSORS = (LIDAR, *CAMERAS)
MAP_FILE = 'maps/synthetic.png'
_TABLES = ('category', 'attribute', 'visibility', 'instance', 'sensor', 'calibrated_sensor', 'ego_pose',
           'log', 'scene', 'sample', 'sample_data', 'sample_annotation', 'map')
# Class of a synthetic object: nuScenes' category, and the attribute of one that does not move.
_CATEGORIES = {
    'Car': ('vehicle.car', 'vehicle.parked'),
    'Van': ('vehicle.car', 'vehicle.parked'),
    'Truck': ('vehicle.truck', 'vehicle.parked'),
    'Pedestrian': ('human.pedestrian.adult', 'pedestrian.standing'),
    'Cyclist': ('vehicle.bicycle', 'cycle.with_rider'),
}
_VISIBILITIES = {'1': 'v0-40', '2': 'v40-60', '3': 'v60-80', '4': 'v80-100'}


class Moment(NamedTuple):
    """When a LiDAR sweep and the six images that go with it were taken."""
    seconds: float  # since the start of the scene
    is_key_frame: bool
    points_on_objects: dict[int, int]  # number of LiDAR points by object; of key frames


class Drive(NamedTuple):
    """One scene as it was recorded."""
    name: str  # of the scene, one of nuScenes' own: its official splits go by them
    start: int  # microseconds
    rig: NuscenesRig
    world_to_global: np.ndarray  # (4, 4): yaw and shift
    objects: list[SceneObject]
    moments: list[Moment]


def token(*parts) -> str:
    """A token as nuScenes has them, 32 hexadecimal digits."""
    return hashlib.md5('/'.join(map(str, parts)).encode()).hexdigest()


def timestamp(drive_start: int, seconds: float, sensor: str) -> int:
    """Microseconds at which a sensor fired."""
    delay = CAMERAS[sensor].delay if sensor in CAMERAS else 0.0
    return drive_start + round(1e6 * (seconds + delay))


def file_name(scene: str, sensor: str, time: int, is_key_frame: bool) -> str:
    """Path of a recording below the data root."""
    suffix = 'jpg' if sensor in CAMERAS else 'pcd.bin'
    folder = 'samples' if is_key_frame else 'sweeps'
    return f'{folder}/{sensor}/synthetic-{scene}__{sensor}__{time}.{suffix}'


def write_tables(out_dir: Path, version: str, drives: Iterable[Drive]) -> None:
    """Write ``out_dir/<version>/*.json``."""
    tables = {name: [] for name in _TABLES}
    _add_vocabulary(tables)
    for drive in drives:
        _add_drive(tables, drive)
    tables['map'].append(dict(category='semantic_prior', token=token('map'), filename=MAP_FILE,
                              log_tokens=[log['token'] for log in tables['log']]))
    for name, records in tables.items():
        write_file(out_dir / version / f'{name}.json', json.dumps(records, indent=0).encode())


def _add_vocabulary(tables: dict[str, list]) -> None:
    for key, values in (('category', {c for c, _ in _CATEGORIES.values()}),
                        ('attribute', {a for _, a in _CATEGORIES.values()})):
        tables[key] += [dict(token=token(key, name), name=name, description='')
                        for name in sorted(values)]
    tables['visibility'] += [dict(token=number, level=level, description='')
                             for number, level in _VISIBILITIES.items()]
    tables['sensor'] += [dict(token=token('sensor', name), channel=name,
                              modality='camera' if name in CAMERAS else 'lidar') for name in SENSORS]


def _add_drive(tables: dict[str, list], drive: Drive) -> None:
    name = drive.name
    tables['log'].append(dict(token=token(name, 'log'), logfile=f'synthetic-{name}',
                              vehicle='synthetic', date_captured='2018-07-24',
                              location='synthetic'))
    samples = _samples(drive)
    tables['scene'].append(dict(
        token=token(name, 'scene'), log_token=token(name, 'log'), nbr_samples=len(samples),
        first_sample_token=samples[0]['token'], last_sample_token=samples[-1]['token'], name=name,
        description='synthetic street'))
    tables['sample'] += samples
    tables['calibrated_sensor'] += [_calibrated_sensor(drive, sensor) for sensor in SENSORS]
    for sensor in SENSORS:
        _add_recordings(tables, drive, sensor)
    _add_annotations(tables, drive)


def _samples(drive: Drive) -> list[dict]:
    samples = [dict(token=token(drive.name, 'sample', number),
                    timestamp=timestamp(drive.start, moment.seconds, LIDAR),
                    scene_token=token(drive.name, 'scene'))
               for number, moment in enumerate(_key_frames(drive))]
    return _linked(samples)


def _key_frames(drive: Drive) -> list[Moment]:
    return [moment for moment in drive.moments if moment.is_key_frame]


def _linked(records: list[dict]) -> list[dict]:
    """Records in order of time, each with the tokens of its neighbours."""
    tokens = ['', *(record['token'] for record in records), '']
    for record, previous, following in zip(records, tokens, tokens[2:]):
        record.update(prev=previous, next=following)
    return records


def _calibrated_sensor(drive: Drive, sensor: str) -> dict:
    intrinsics = drive.rig.intrinsics.get(sensor, np.empty(0))
    return dict(token=token(drive.name, 'calibrated', sensor), sensor_token=token('sensor', sensor),
                camera_intrinsic=intrinsics.tolist(), **_pose(drive.rig.sensor_to_ego[sensor]))


def _pose(matrix: np.ndarray) -> dict:
    return dict(translation=matrix[:3, 3].tolist(),
                rotation=Quaternion(matrix=matrix).elements.tolist())


def _add_recordings(tables: dict[str, list], drive: Drive, sensor: str) -> None:
    width, height = drive.rig.image_size if sensor in CAMERAS else (0, 0)
    key_times = np.array([moment.seconds for moment in _key_frames(drive)])
    recordings = []
    for moment in drive.moments:
        time = timestamp(drive.start, moment.seconds, sensor)
        # In nuScenes as well a recording has the token of its pose.
        key = token(drive.name, sensor, time)
        sample = int(np.abs(key_times - moment.seconds).argmin())
        pose = drive.rig.ego_to_world((time - drive.start) / 1e6)
        tables['ego_pose'].append(
            dict(token=key, timestamp=time, **_pose(drive.world_to_global @ pose)))
        recordings.append(dict(
            token=key, ego_pose_token=key, sample_token=token(drive.name, 'sample', sample),
            calibrated_sensor_token=token(drive.name, 'calibrated', sensor), timestamp=time,
            fileformat='jpg' if sensor in CAMERAS else 'pcd', is_key_frame=moment.is_key_frame,
            height=height, width=width,
            filename=file_name(drive.name, sensor, time, moment.is_key_frame)))
    tables['sample_data'] += _linked(recordings)


def _add_annotations(tables: dict[str, list], drive: Drive) -> None:
    """The objects that the LiDAR hit, as in nuScenes; their visibility is not told ('')."""
    for number, item in enumerate(drive.objects):
        category, attribute = _CATEGORIES[item.class_name]
        length, width, height = item.size
        turn = Quaternion(matrix=drive.world_to_global) * Quaternion(axis=(0, 0, 1), angle=item.yaw)
        position = drive.world_to_global @ np.append(item.centre, 1)
        instance = token(drive.name, 'instance', number)
        annotations = _linked([
            dict(token=token(instance, sample), sample_token=token(drive.name, 'sample', sample),
                 instance_token=instance, visibility_token='',
                 attribute_tokens=[token('attribute', attribute)],
                 translation=position[:3].tolist(), size=[width, length, height],
                 rotation=turn.elements.tolist(),
                 num_lidar_pts=moment.points_on_objects[number], num_radar_pts=0)
            for sample, moment in enumerate(_key_frames(drive))
            if number in moment.points_on_objects])
        if annotations:
            tables['sample_annotation'] += annotations
            tables['instance'].append(dict(
                token=instance, category_token=token('category', category),
                nbr_annotations=len(annotations), first_annotation_token=annotations[0]['token'],
                last_annotation_token=annotations[-1]['token']))
