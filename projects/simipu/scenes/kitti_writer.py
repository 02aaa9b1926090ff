"""Writes synthetic frames in the layout of the KITTI object data set."""
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..errors import ConfigError
from .kitti_labels import kitti_labels
from .output_folder import claim_folder, encode_png, run_jobs, write_file
from .scene import Scene, random_scene
from .sensors import KittiRig, Picture, Sweep, random_kitti_rig, render, scan
from .yard import random_yard, random_yard_rig

_FOLDERS = {'training': ('image_2', 'velodyne', 'calib', 'label_2'),
            'testing': ('image_2', 'velodyne', 'calib')}
_SUFFIXES = {'image_2': '.png', 'velodyne': '.bin', 'calib': '.txt', 'label_2': '.txt'}

Job = tuple[Path, str, int, int, tuple[int, int], str]  # out_dir, split, frame, seed, image size, world


class World(NamedTuple):
    """Draws scenes, and rigs: (rng, image size, y of the vehicle) -> rig."""
    scene: Callable[[np.random.Generator], Scene]
    rig: Callable[[np.random.Generator, tuple[int, int], float], KittiRig]


WORLDS = {'street': World(random_scene, random_kitti_rig), 'yard': World(random_yard, random_yard_rig)}


class Frame(NamedTuple):
    """One scene and what a rig saw of it."""
    scene: Scene
    rig: KittiRig
    picture: Picture
    sweep: Sweep


def _calibration_text(calibration: dict[str, np.ndarray]) -> str:
    lines = [f'{name}: ' + ' '.join(f'{value:.12e}' for value in matrix.ravel())
             for name, matrix in calibration.items()]
    return '\n'.join(lines) + '\n\n'


def make_frame(split: str, frame: int, seed: int, image_size: tuple[int, int], world: str = 'street') -> Frame:
    """Draw and observe a frame's scene; the result depends on the arguments only.

    Args:
        split: 'training' or 'testing'.
        image_size: (width, height).
        world: One of ``WORLDS``.
    """
    rng = np.random.default_rng([seed, list(_FOLDERS).index(split), frame])
    scene = WORLDS[world].scene(rng)
    rig = WORLDS[world].rig(rng, image_size, scene.ego_y)
    return Frame(scene, rig, render(scene, rig.camera, rng), scan(scene, rig.lidar, rng))


def frame_files(frame: Frame) -> dict[str, bytes]:
    """Contents of a frame's files by the name of their folder."""
    labels = kitti_labels(frame.scene, frame.rig, frame.picture)
    return {'image_2': encode_png(frame.picture.image), 'velodyne': frame.sweep.points.tobytes(),
            'calib': _calibration_text(frame.rig.calibration).encode(),
            'label_2': ''.join(line + '\n' for line in labels).encode()}


def _paths(out_dir: Path, split: str, frame: int) -> dict[str, Path]:
    return {folder: out_dir / split / folder / f'{frame:06d}{_SUFFIXES[folder]}'
            for folder in _FOLDERS[split]}


def _write_frame(job: Job) -> None:
    out_dir, split, frame, *how = job
    contents = frame_files(make_frame(split, frame, *how))
    for folder, path in _paths(out_dir, split, frame).items():
        write_file(path, contents[folder])


def _write_splits(out_dir: Path, num_frames: int, num_val: int, num_test: int) -> None:
    first_val = num_frames - num_val
    splits = {'train': range(first_val), 'val': range(first_val, num_frames),
              'trainval': range(num_frames), 'test': range(num_test)}
    for name, frames in splits.items():
        text = ''.join(f'{frame:06d}\n' for frame in frames)
        write_file(out_dir / 'ImageSets' / f'{name}.txt', text.encode())


def generate_dataset(out_dir: str | Path, num_frames: int, seed: int = 0,
                     image_size: tuple[int, int] = (384, 128), num_workers: int | None = None,
                     val_fraction: float = 0.1, num_test_frames: int = 1, world: str = 'street') -> None:
    """Write a synthetic data set in the KITTI object layout.

    ``training/{image_2,velodyne,calib,label_2}``, ``testing/`` likewise without labels, and
    ``ImageSets/{train,val,trainval,test}.txt``. Each frame is a scene of its own and depends on the
    seed, its number and the image size only: the same bytes come out whatever the number of
    workers, and a set can be prolonged. A run that was stopped goes on where it was when it is
    called again.

    Args:
        out_dir: New or empty folder, or one that an earlier run with the same seed and size has
            left.
        num_frames: Frames in ``training``; the last ``val_fraction`` of them make the val split.
        seed: Not negative.
        image_size: (width, height) in pixels.
        num_workers: Processes; by default one per available core.
        val_fraction: In [0, 1).
        num_test_frames: Frames in ``testing``; mmdet3d's KITTI converter needs at least one.
        world: 'street', or 'yard', which is unlike it in all that can be seen, and has no labels.

    Raises:
        DataError: ``out_dir`` holds something else, or a set with other settings.
        ConfigError: An argument is out of its range.
    """
    if num_frames < 1 or num_test_frames < 0 or seed < 0 or not 0 <= val_fraction < 1:
        raise ConfigError('expected num_frames >= 1, num_test_frames >= 0, seed >= 0 and '
                          f'0 <= val_fraction < 1, got {num_frames}, {num_test_frames}, {seed} and '
                          f'{val_fraction}')
    if world not in WORLDS:
        raise ConfigError(f'world {world!r}: expected one of {", ".join(WORLDS)}')
    if min(image_size) < 16:
        raise ConfigError('expected an image_size (width, height) of at least 16 pixels, got '
                          f'{image_size}')
    out_dir, image_size = Path(out_dir), (int(image_size[0]), int(image_size[1]))
    folders = [f'{split}/{folder}' for split in _FOLDERS for folder in _FOLDERS[split]]
    settings = dict(seed=seed, image_size=list(image_size))
    if world != 'street':  # folders of before there were others do not name it
        settings.update(world=world)
    claim_folder(out_dir, [*folders, 'ImageSets'], settings)
    wanted = [('training', frame) for frame in range(num_frames)]
    wanted += [('testing', frame) for frame in range(num_test_frames)]
    jobs = [(out_dir, split, frame, seed, image_size, world) for split, frame in wanted
            if not all(path.is_file() for path in _paths(out_dir, split, frame).values())]
    run_jobs(_write_frame, jobs, num_workers)
    _write_splits(out_dir, num_frames, round(num_frames * val_fraction), num_test_frames)
