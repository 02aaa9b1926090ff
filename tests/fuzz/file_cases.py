"""Pipes, devices, folders, links and pointers of Git LFS in the place of every file that is read."""
import json
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import samples
from info_cases import read_all
from mutations import in_place_of_a_file
from outcomes import Case, Outcome
from own_cases import create_jsonl_infos
from table_cases import _create as create_nuscenes
from text_cases import DATA_SETS, frames_of, sound_frames


def _write_own(root: Path) -> Path:
    samples.write_kitti(root)
    return samples.write(root, {'frames.jsonl': json.dumps(samples.OWN_FRAME)})


def _own(root: Path, out: Path, num_workers: int) -> list:
    return create_jsonl_infos(root / 'frames.jsonl', root, out, num_workers=num_workers)


def _places() -> Iterator[tuple[str, Callable, Callable, str]]:
    """By name: what writes a data set, what reads it, and the file."""
    for name, (write, create, path) in DATA_SETS.items():
        yield name, write, partial(frames_of, create), path
    kitti, create_kitti, _ = DATA_SETS['object']
    for path in ('training/velodyne/000000.bin', 'training/image_2/000000.png'):
        yield f'converted {Path(path).name}', kitti, partial(frames_of, create_kitti), path
        yield f'trained on {Path(path).name}', samples.write_kitti, read_all, path
    yield 'info file', samples.write_kitti, read_all, 'infos.pkl'
    yield 'Waymo infos', partial(samples.write_waymo, with_infos=True), partial(frames_of, DATA_SETS['Waymo'][1]), (
        'waymo_infos_train.pkl')
    yield 'JSON lines', _write_own, partial(frames_of, _own), 'frames.jsonl'
    for path in ('v1.0-mini/sample_data.json', 'samples/LIDAR_TOP/0.pcd.bin', 'samples/CAM_FRONT/1.png'):
        yield f'nuScenes {Path(path).name}', samples.write_nuscenes, partial(frames_of, create_nuscenes), path


def _replaced(write: Callable, read: Callable, path: str, put: Callable, folder: Path) -> Any:
    root = write(folder)
    os.unlink(root / path)
    put(root / path)
    return read(root)


def _said(name: str, found: list[dict]) -> str | Outcome:
    """KITTI's time stamps may be missing, which the converter says, and frames that lack a file."""
    sound = sound_frames(name)
    without = [{key: value for key, value in frame.items() if key != 'timestamp'} for frame in sound]
    found = [{key: value for key, value in frame.items() if key != 'timestamp'} for frame in found]
    return Outcome.SKIPPED if found == without else 'other frames than from the sound files'


def cases() -> Iterator[Case]:
    """All cases of this kind."""
    for place, write, read, path in _places():
        for name, put in in_place_of_a_file().items():
            case = Case('no regular files', f'{place}: {name}', partial(_replaced, write, read, path, put))
            yield case._replace(judge=partial(_said, place)) if place.startswith('time') else case
