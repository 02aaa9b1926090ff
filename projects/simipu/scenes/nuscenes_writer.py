"""Writes synthetic drives of a six-camera vehicle in the layout of nuScenes."""
import json
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from ..errors import ConfigError
from .nuscenes_rig import CAMERAS, LIDAR, NuscenesRig, random_nuscenes_rig
from .nuscenes_tables import MAP_FILE, SENSORS, Drive, Moment, file_name, timestamp, write_tables
from .output_folder import claim_folder, encode_png, run_jobs, write_file
from .primitives import rotation_zyx
from .scene import Scene, random_scene
from .sensors import Sweep, render, scan

FRAMES_PER_SCENE = 8
KEY_FRAME_INTERVAL = 0.5  # seconds
_FIRST_START = 1532402927_000000  # microseconds
_MAX_DRIVE = 8.0 * KEY_FRAME_INTERVAL * FRAMES_PER_SCENE  # metres
_RECORDS = 'synthetic_records'  # of each key frame: how many points are on which object


class _Settings(NamedTuple):
    """What the bytes of a recording depend on."""
    out_dir: Path
    seed: int
    image_size: tuple[int, int]
    sweeps: int


class _Step(NamedTuple):
    """One LiDAR sweep of a scene, with the images that go with it."""
    scene: int
    number: int


def generate_nuscenes_dataset(out_dir: str | Path, num_frames: int, seed: int = 0,
                              image_size: tuple[int, int] = (384, 216),
                              num_workers: int | None = None, sweeps: int = 0) -> str:
    """Write a synthetic data set in the layout of nuScenes, with the tables that its devkit loads.

    ``samples/`` and ``sweeps/`` with a LiDAR and six cameras, ``maps/`` (blank) and the tables in a
    folder named by the version: 'v1.0-mini' up to ten scenes, else 'v1.0-trainval'. A scene is one
    street through which the vehicle drives for up to 8 key frames, 0.5 s apart; every sensor has
    its own time stamps, and the ego pose of each. Scenes carry nuScenes' own names, so that the
    official lists split them: the second and about every fifth thereafter is for validation.

    The same bytes come out whatever the number of workers; a set can be prolonged, and a run that
    was stopped goes on where it was when it is called again.

    Args:
        out_dir: New or empty folder, or one that an earlier run with the same seed, size and number
            of sweeps has left.
        num_frames: Key frames; at most 5600.
        seed: Not negative.
        image_size: (width, height) in pixels.
        num_workers: Processes; by default one per available core.
        sweeps: Recordings of all sensors between two key frames.

    Returns:
        The version, name of the folder with the tables.

    Raises:
        DataError: ``out_dir`` holds something else, or a set with other settings.
        ConfigError: An argument is out of its range.
    """
    if not 1 <= num_frames <= 5600 or seed < 0 or sweeps < 0 or min(image_size) < 16:
        raise ConfigError('expected 1 <= num_frames <= 5600, seed >= 0, sweeps >= 0 and an '
                          '(width, height) of at least 16 pixels, got '
                          f'{num_frames}, {seed}, {sweeps} and {image_size}')
    settings = _Settings(Path(out_dir), seed, (int(image_size[0]), int(image_size[1])), sweeps)
    num_scenes = -(-num_frames // FRAMES_PER_SCENE)
    version = 'v1.0-mini' if num_scenes <= 10 else 'v1.0-trainval'
    folders = [f'{kind}/{sensor}' for kind in ('samples', 'sweeps') for sensor in SENSORS]
    claim_folder(settings.out_dir, [*folders, 'maps', version, _RECORDS], dict(
        layout='nuscenes', seed=seed, image_size=list(settings.image_size), sweeps=sweeps))
    steps = _steps(num_frames, sweeps)
    run_jobs(partial(_write_step, settings),
             [step for step in steps if not _is_written(step, settings)], num_workers)
    _write_map(settings.out_dir)
    drives = (_drive(scene, [step for step in steps if step.scene == scene], settings)
              for scene in range(num_scenes))
    write_tables(settings.out_dir, version, drives)
    return version


def scene_name(scene: int) -> str:
    """One of nuScenes' own names; those of the mini set come first."""
    from nuscenes.utils import splits  # here, as only the nuScenes layout needs the devkit
    mini = splits.mini_train + splits.mini_val
    train = splits.mini_train + [name for name in splits.train if name not in mini]
    val = splits.mini_val + [name for name in splits.val if name not in mini]
    is_val, before = scene % 5 == 1, (scene + 3) // 5  # val scenes among the earlier ones
    return val[before] if is_val else train[scene - before]


def _steps(num_frames: int, sweeps: int) -> list[_Step]:
    """All sweeps of all scenes in order; the last scene may be short."""
    steps = []
    for first in range(0, num_frames, FRAMES_PER_SCENE):
        key_frames = min(FRAMES_PER_SCENE, num_frames - first)
        scene = first // FRAMES_PER_SCENE
        steps += [_Step(scene, number) for number in range((key_frames - 1) * (sweeps + 1) + 1)]
    return steps


def _seconds(step: _Step, settings: _Settings) -> float:
    return step.number * KEY_FRAME_INTERVAL / (settings.sweeps + 1)


def _is_key_frame(step: _Step, settings: _Settings) -> bool:
    return step.number % (settings.sweeps + 1) == 0


def _start(scene: int) -> int:
    return _FIRST_START + scene * 100_000_000


def _stage(scene: int, settings: _Settings) -> tuple[Scene, NuscenesRig, np.ndarray]:
    """A scene, the rig in it, and the pose (4, 4) of its world in nuScenes' global frame."""
    rng = np.random.default_rng([settings.seed, 2, scene])  # 0 and 1 are KITTI's splits
    street = random_scene(rng, _MAX_DRIVE)
    rig = random_nuscenes_rig(rng, street, settings.image_size)
    world_to_global = np.eye(4)
    world_to_global[:3, :3] = rotation_zyx(np.array([rng.uniform(-np.pi, np.pi), 0, 0]))
    world_to_global[:2, 3] = rng.uniform(300, 2000, 2)
    return street, rig, world_to_global


def _paths(step: _Step, settings: _Settings) -> dict[str, Path]:
    """Files of a step by sensor, and its record."""
    is_key_frame, seconds = _is_key_frame(step, settings), _seconds(step, settings)
    paths = {sensor: file_name(scene_name(step.scene), sensor,
                               timestamp(_start(step.scene), seconds, sensor), is_key_frame)
             for sensor in SENSORS}
    paths[_RECORDS] = f'{_RECORDS}/{scene_name(step.scene)}_{step.number:04d}.json'
    return {name: settings.out_dir / path for name, path in paths.items()}


def _is_written(step: _Step, settings: _Settings) -> bool:
    return all(path.is_file() for path in _paths(step, settings).values())


def _write_step(settings: _Settings, step: _Step) -> None:
    street, rig, _ = _stage(step.scene, settings)
    rng = np.random.default_rng([settings.seed, 3, step.scene, step.number])
    seconds, paths = _seconds(step, settings), _paths(step, settings)
    for name in CAMERAS:
        picture = render(street, rig.camera(name, seconds + CAMERAS[name].delay), rng)
        _, jpeg = cv2.imencode('.jpg', picture.image, [cv2.IMWRITE_JPEG_QUALITY, 92])
        write_file(paths[name], jpeg.tobytes())
    lidar = rig.lidar(seconds)
    sweep = scan(street, lidar, rng)
    write_file(paths[LIDAR], _nuscenes_points(sweep, lidar.elevations).tobytes())
    numbers, counts = np.unique(sweep.instance[sweep.instance >= 0], return_counts=True)
    record = {str(number): int(count) for number, count in zip(numbers, counts)}
    write_file(paths[_RECORDS], json.dumps(record).encode())


def _nuscenes_points(sweep: Sweep, elevations: np.ndarray) -> np.ndarray:
    """(N, 5) float32: x, y, z, intensity 0..255 and the number of the beam, 0 the lowest."""
    x, y, z, intensity = sweep.points.T
    elevation = np.arctan2(z, np.hypot(x, y))
    beam = np.abs(elevation[:, None] - elevations.astype(np.float32)).argmin(axis=1)
    return np.stack([x, y, z, np.rint(255 * intensity), beam.astype(np.float32)], axis=1)


def _drive(scene: int, steps: list[_Step], settings: _Settings) -> Drive:
    street, rig, world_to_global = _stage(scene, settings)
    moments = []
    for step in steps:
        record = json.loads(_paths(step, settings)[_RECORDS].read_text())
        moments.append(Moment(_seconds(step, settings), _is_key_frame(step, settings),
                              {int(number): count for number, count in record.items()}))
    return Drive(scene_name(scene), _start(scene), rig, world_to_global, street.objects, moments)


def _write_map(out_dir: Path) -> None:
    """nuScenes' devkit wants a picture of the drivable area; nothing here uses it."""
    write_file(out_dir / MAP_FILE, encode_png(np.zeros((16, 16), np.uint8)))
