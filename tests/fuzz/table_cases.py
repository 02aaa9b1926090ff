"""nuScenes' tables: files that are none, records that lack fields or hold something else, circles."""
import json
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import samples
from mutations import JSON_VALUES, changed, damaged, some
from outcomes import Case
from text_cases import frames_of

from simipu.datasets.converters import create_nuscenes_infos

_create = partial(create_nuscenes_infos, version='v1.0-mini', cameras=['CAM_FRONT'], sweeps=1)


def convert(write: Callable[[Path], Any], folder: Path) -> list[dict]:
    """The frames of nuScenes' layout after ``write`` has changed a file in its folder."""
    samples.write_nuscenes(folder)
    write(folder)
    return frames_of(_create, folder)


@cache
def sound_frames() -> list[dict]:
    """Those of the unchanged tables."""
    with TemporaryDirectory() as folder:
        return convert(lambda folder: None, Path(folder))


def _as_sound(found: list[dict]) -> str | None:
    return None if found == sound_frames() else 'other frames than from the sound tables'


def _write(name: str, content: bytes, folder: Path) -> None:
    (folder / f'v1.0-mini/{name}.json').write_bytes(content)


def _files(seed: int) -> Iterator[Case]:
    for table, records in samples.tables().items():
        sound = json.dumps(records).encode()
        others = {'null': b'null', 'a number': b'3', 'a dict': b'{}', 'an empty list': b'[]', 'numbers': b'[1, 2]',
                  'a null among records': json.dumps([*records, None]).encode(),
                  'twice': json.dumps(records * 2).encode(), 'deeply nested': b'[' * 100_000,
                  'UTF-16': json.dumps(records).encode('utf-16'), 'not UTF-8': sound.replace(b'token', b'tok\xffn', 1),
                  'two texts': sound + sound,
                  'a huge number': sound.replace(b'": "', b'": ' + b'9' * 5000 + b', "b": "', 1)}
        for name, content in [*others.items(), *damaged(sound, seed, flips=3)]:
            yield Case('nuScenes tables', f'{table}: {name}', partial(convert, partial(_write, table, content)),
                       _as_sound)


def _fields(seed: int) -> Iterator[Case]:
    for table, records in samples.tables().items():
        for field in records[0]:
            for name, value in some(JSON_VALUES, seed, table, field, count=6):
                content = json.dumps(changed(records, (0, field), value)).encode()
                # Of the LiDAR, size and intrinsics are not read.
                yield Case('nuScenes tables', f'{table}.{field}: {name}',
                           partial(convert, partial(_write, table, content)), _as_sound)
    for field in ('height', 'width', 'timestamp', 'filename'):
        for name, value in some(JSON_VALUES, seed, field, count=6):
            records = changed(samples.tables()['sample_data'], (2, field), value)
            yield Case('nuScenes tables', f'sample_data of a camera, {field}: {name}',
                       partial(convert, partial(_write, 'sample_data', json.dumps(records).encode())), _as_sound)


def _links() -> Iterator[Case]:
    for table, field, value in (
            ('sample', 'next', 'sample0'), ('sample_data', 'next', 'LIDAR_TOP 0'), ('sample', 'next', 'nothing'),
            ('sample_data', 'next', 'CAM_FRONT 0'), ('scene', 'first_sample_token', 'nothing'),
            ('sample_data', 'ego_pose_token', 'scene'), ('calibrated_sensor', 'sensor_token', 'calibrated LIDAR_TOP')):
        records = changed(samples.tables()[table], (0, field), value)
        yield Case('nuScenes tables', f'{table}.{field} leads to {value}',
                   partial(convert, partial(_write, table, json.dumps(records).encode())))
    for rotation in ([0, 0, 0, 0], [1e200, 0, 0, 0], [2, 0, 0, 0], [1, 0, 0], [1, 0, 0, 'a'], [[1, 0, 0, 0]]):
        records = changed(samples.tables()['calibrated_sensor'], (1, 'rotation'), rotation)
        yield Case('nuScenes tables', f'rotation {rotation}',
                   partial(convert, partial(_write, 'calibrated_sensor', json.dumps(records).encode())))
    for translation in ([1e6, 0, 0], [1e300, 0, 0], [0, 0], ['0', '0', '0'], [None, 0, 0]):
        records = changed(samples.tables()['calibrated_sensor'], (1, 'translation'), translation)
        yield Case('nuScenes tables', f'translation {translation}',
                   partial(convert, partial(_write, 'calibrated_sensor', json.dumps(records).encode())))


def cases(seed: int = 0) -> Iterator[Case]:
    """All cases of this kind."""
    yield from _files(seed)
    yield from _fields(seed)
    yield from _links()
