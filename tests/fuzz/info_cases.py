"""Info files: fields of other types, damaged and hostile pickles; mmdet3d's of Waymo, and left-over parts."""
import contextlib
import io
import json
import pickle
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import samples
from mutations import ABSENT, JSON_VALUES, VALUES, attacks, changed, damaged, some
from outcomes import Case

from simipu.datasets import PairedDataset
from simipu.datasets.checking import check_dataset
from simipu.datasets.converters import create_kitti_infos, create_waymo_infos
from simipu.datasets.transforms import LoadPairedImages, LoadPairedPoints

_CAMERA = ('images', 'CAM2')
_FIELDS = [(), ('sample_idx', ), ('timestamp', ), ('sequence', ), ('images', ), _CAMERA, ('lidar_points', ),
           *((*_CAMERA, name) for name in ('img_path', 'height', 'width', 'timestamp', 'bit_depth', 'apply_exif',
                                           'cam2img', 'lidar2cam', 'lidar2img')),
           *(('lidar_points', name) for name in ('lidar_path', 'num_pts_feats', 'dtype', 'intensity_scale'))]
_WAYMO_FIELDS = [(), ('images', ), ('lidar_points', ), ('timestamp', ), ('lidar_points', 'lidar_path'),
                 *(('images', 'CAM_FRONT', name) for name in ('cam2img', 'lidar2cam')), ('images', 'CAM_FRONT')]


def read_all(root: Path, info_file: str = 'infos.pkl') -> list[dict]:
    """What training reads of each frame, after check_dataset has looked at the same file."""
    with contextlib.redirect_stdout(io.StringIO()):
        check_dataset(str(root / info_file), str(root), sample=1)
    dataset = PairedDataset(info_file, str(root))
    loaders = LoadPairedPoints(), LoadPairedImages()
    frames = []
    for index in range(len(dataset)):
        frame = dataset.get_data_info(index)
        for loader in loaders:
            frame = loader(frame)
        frames.append(dict(points=frame['points'].numpy(), images=frame['img'], lidar2img=frame['lidar2img']))
    return frames


@cache
def sound_frames() -> list[dict]:
    """What the unchanged files give."""
    with TemporaryDirectory() as folder:
        return read_all(samples.write_kitti(Path(folder)))


def unlike_the_sound(found: list[dict]) -> str | None:
    """What of the frames differs from what the unchanged files give."""
    for number, (frame, sound) in enumerate(zip(found, sound_frames())):
        for key, value in frame.items():
            if np.shape(value) != np.shape(sound[key]) or not np.allclose(value, sound[key]):
                return f'{key} of frame {number} is not that of the sound file'
    return None if len(found) == len(sound_frames()) else f'{len(found)} frames'


def _read_changed(content: bytes, name: str, folder: Path) -> list[dict]:
    samples.write_kitti(folder)
    (folder / name).write_bytes(content)
    return read_all(folder, name)


def _fields(seed: int) -> Iterator[Case]:
    sound = dict(metainfo={}, data_list=samples.info_frames())
    places = [('metainfo', ), ('data_list', ), *(('data_list', 0, *field) for field in _FIELDS)]
    for place in places:
        where = '.'.join(map(str, place))
        for name, value in some(VALUES, seed, place):
            if value is ABSENT and place[-1] in ('bit_depth', 'apply_exif', 'dtype', 'intensity_scale', 0):
                continue
            content = pickle.dumps(changed(sound, place, value))
            yield Case('info files: fields', f'{where}: {name}', partial(_read_changed, content, 'infos.pkl'),
                       partial(_of_field, place, name))
    for name, value in JSON_VALUES.items():
        if name != 'surrogate':
            content = json.dumps(changed(sound, ('data_list', 0, *_CAMERA, 'cam2img'), value)).encode()
            yield Case('info files: fields', f'JSON, cam2img: {name}', partial(_read_changed, content, 'infos.json'),
                       unlike_the_sound)


def _of_field(place: tuple, name: str, found: list[dict]) -> str | None:
    if place == ('data_list', 0) and name == 'absent':
        found = [sound_frames()[0], *found]
    return unlike_the_sound(found)


def _damage(seed: int) -> Iterator[Case]:
    sound = pickle.dumps(dict(metainfo={}, data_list=samples.info_frames()))
    for name, content in damaged(sound, seed, flips=25):
        yield Case('info files: bytes', name, partial(_read_changed, content, 'infos.pkl'),
                   partial(_as_pickled, content))
    for suffix in ('yaml', 'json', 'txt', 'npy'):
        yield Case('info files: bytes', f'a pickle named .{suffix}', partial(_read_changed, sound, f'infos.{suffix}'))
    for text in (b'!!python/object/apply:os.system ["true"]', b'data_list: []', b'&a [*a]'):
        yield Case('info files: bytes', f'YAML {text.decode()}', partial(_read_changed, text, 'infos.yaml'))
        yield Case('info files: bytes', f'YAML named .pkl {text.decode()}', partial(_read_changed, text, 'infos.pkl'))
    for text in (b'[' * 100_000, b'{"data_list": [NaN]}', b'{"data_list": [1e999]}', b'{"data_list": ' + b'9' * 5000,
                 b'{"a": 1}{"b": 2}', b'\xff\xfe{\0}\0', b'null', b'"text"', b'[{}]'):
        yield Case('info files: bytes', f'JSON {text[:30]!r}', partial(_read_changed, text, 'infos.json'))


def _as_pickled(content: bytes, found: list[dict]) -> str | None:
    """A flipped bit may give another sound number, which nothing tells: the frames are what Python's pickle has."""
    expected = pickle.loads(content)['data_list']
    for frame, info in zip(found, expected, strict=True):
        image, = info['images'].values()
        matrix = np.array(image['lidar2img'] if 'lidar2img' in image else np.dot(image['cam2img'], image['lidar2cam']))
        if not np.allclose(frame['lidar2img'][0], matrix / np.linalg.norm(matrix[2, :3]), atol=2e-3):
            return 'lidar2img is not that of the file'
    return None


def _hostile() -> Iterator[Case]:
    readers = dict(infos=partial(_read_changed, name='infos.pkl'), Waymo=_read_waymo, part=_read_part)
    for number, (name, content) in enumerate(attacks().items()):
        for reader, read in readers.items():
            if reader != 'infos' and number % 3:
                continue  # they share the unpickler
            case = Case('pickles that run code', f'{reader}: {name}', partial(_with_content, read, content))
            yield case._replace(judge=_converts) if reader == 'part' else case


def _with_content(read: Any, content: bytes, folder: Path) -> Any:
    return read(content=content, folder=folder)


def _read_waymo(content: bytes, folder: Path) -> list[dict]:
    samples.write_waymo(folder, with_infos=True)
    (folder / 'waymo_infos_train.pkl').write_bytes(content)
    with contextlib.redirect_stdout(io.StringIO()):
        split, = create_waymo_infos(folder, folder / 'out', num_workers=1)
    return pickle.loads(split.info_file.read_bytes())['data_list']


@cache
def _sound_waymo() -> list[dict]:
    with TemporaryDirectory() as folder:
        infos = [samples.waymo_info(f'000000{number}', 1550083467346370 + number * 100000) for number in range(2)]
        return _read_waymo(pickle.dumps(dict(metainfo={}, data_list=infos)), Path(folder))


def _waymo(seed: int) -> Iterator[Case]:
    infos = [samples.waymo_info(f'000000{number}', 1550083467346370 + number * 100000) for number in range(2)]
    sound = dict(metainfo={}, data_list=infos)
    for place in [('data_list', ), *(('data_list', 0, *field) for field in _WAYMO_FIELDS)]:
        for name, value in some(VALUES, seed, place, count=5):
            if value is not None:
                yield Case('mmdet3d\'s infos of Waymo', f'{".".join(map(str, place))}: {name}',
                           partial(_read_waymo, pickle.dumps(changed(sound, place, value))),
                           partial(_unlike_sound_waymo, place[-1]))
    for name, content in damaged(pickle.dumps(sound), seed, flips=6):
        yield Case('mmdet3d\'s infos of Waymo', name, partial(_read_waymo, content),
                   lambda found: None if len(found) == 2 else f'{len(found)} frames')


def _unlike_sound_waymo(changed_field: Any, found: list[dict]) -> str | None:
    for frame, sound in zip(found, _sound_waymo(), strict=True):
        if changed_field != 'timestamp' and frame != sound or dict(frame, timestamp=0) != dict(sound, timestamp=0):
            return 'a frame is not that of the sound file'
    return None


def _read_part(content: bytes, folder: Path, name: str = '000000000.pkl') -> list[dict]:
    """A conversion that finds a part of an interrupted one, which has the key that it looks for."""
    from unittest import mock

    from simipu.datasets.converters.common import FinishedParts
    samples.write_kitti(folder)
    claim = FinishedParts.claim

    def claim_and_leave(self: FinishedParts, key: str) -> None:
        claim(self, key)
        (self.folder / name).write_bytes(content)
        claim(self, key)

    with mock.patch.object(FinishedParts, 'claim', claim_and_leave), contextlib.redirect_stdout(io.StringIO()):
        split, = create_kitti_infos(folder, folder / 'out', num_workers=1)
    return pickle.loads(split.info_file.read_bytes())['data_list']


@cache
def _sound_kitti() -> list[dict]:
    with TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        root = samples.write_kitti(Path(folder))
        split, = create_kitti_infos(root, root / 'out', num_workers=1)
        return pickle.loads(split.info_file.read_bytes())['data_list']


def _converts(found: list[dict]) -> str | None:
    """A part that cannot be used is written again, which the result shows."""
    return None if found == _sound_kitti() else 'the frames are not those of the sound files'


def _parts(seed: int) -> Iterator[Case]:
    sound = pickle.dumps(dict(infos=[{}, {}], fingerprint='another'))
    for name, content in damaged(sound, seed, flips=4):
        yield Case('left-over parts', name, partial(_read_part, content), _converts)
        yield Case('left-over parts', f'key: {name}', partial(_read_part, content, name='key.txt'), _converts)
    for name, value in some(VALUES, seed):
        yield Case('left-over parts', f'fingerprint: {name}', partial(_read_part, pickle.dumps(
            changed(dict(infos=[{}, {}], fingerprint=''), ('fingerprint', ), value))), _converts)


def cases(seed: int = 0) -> Iterator[Case]:
    """All cases of this kind."""
    yield from _fields(seed)
    yield from _damage(seed)
    yield from _hostile()
    yield from _waymo(seed)
    yield from _parts(seed)
