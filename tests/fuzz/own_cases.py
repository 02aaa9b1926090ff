"""Own frames as JSON lines: fields that are missing, misspelt, of other types, or lead out of the folders."""
import json
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory

import samples
from mutations import JSON_VALUES, changed, damaged, some
from outcomes import Case
from text_cases import frames_of

from simipu.datasets.converters import create_jsonl_infos

_CAMERA = ('images', 'front')
_FIELDS = [('sample_idx', ), ('timestamp', ), ('sequence', ), ('split', ), ('images', ), ('lidar_points', ), _CAMERA,
           ('ego2global', ), ('misspelt', ),
           *((*_CAMERA, name) for name in ('img_path', 'height', 'width', 'timestamp', 'bit_depth', 'apply_exif',
                                           'cam2img', 'lidar2cam', 'lidar2img', 'cam2ego', 'ego2global')),
           *(('lidar_points', name) for name in ('lidar_path', 'num_pts_feats', 'dtype', 'intensity_scale',
                                                 'lidar2ego'))]
# Fields that the pixels of points do not depend on, where any value that is accepted is kept as it is.
_KEPT = {'sample_idx', 'timestamp', 'sequence', 'split', 'bit_depth', 'intensity_scale', 'ego2global', 'apply_exif'}


def convert(content: bytes, folder: Path) -> list[dict]:
    """The frames of a file of JSON lines; nothing may be written outside the folder for that."""
    root = samples.write_kitti(folder / 'root/data')
    (root / 'frames.jsonl').write_bytes(content)
    before = _files(folder)
    found = frames_of(lambda root, out, num_workers: create_jsonl_infos(
        root / 'frames.jsonl', root, out, num_workers=num_workers), root)
    written = [path for path in _files(folder) - before if path.parent != root / 'out']
    assert not written, f'{written[0]} was written'
    return found


def _files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob('*') if path.is_file()}


@cache
def sound_frames() -> list[dict]:
    """Those of the unchanged line."""
    with TemporaryDirectory() as folder:
        return convert(json.dumps(samples.OWN_FRAME).encode(), Path(folder))


def _as_sound(field: str, found: list[dict]) -> str | None:
    sound, = sound_frames()
    for frame in found:
        cameras = [frame['images'].get('front', {}).get(name) for name in ('img_path', 'height', 'lidar2img')]
        if cameras != [sound['images']['front'][name] for name in ('img_path', 'height', 'lidar2img')]:
            return 'another image than in the sound line'
        if field not in _KEPT and frame['lidar_points'] != sound['lidar_points']:
            return 'another cloud than in the sound line'
    return None if len(found) == 1 else f'{len(found)} frames'


def _own_fields(seed: int) -> Iterator[Case]:
    for place in _FIELDS:
        values = some(JSON_VALUES, seed, place)
        inner = samples.OWN_FRAME
        for key in place[:-1]:
            inner = inner[key]
        for name, value in values:
            if name == 'absent' and place[-1] not in inner:
                continue
            content = json.dumps(changed(samples.OWN_FRAME, place, value)).encode()
            yield Case('own frames', f'{".".join(place)}: {name}', partial(convert, content),
                       partial(_as_sound, place[-1]))


def _lines() -> Iterator[Case]:
    sound = json.dumps(samples.OWN_FRAME)
    others = {
        'no frame': '', 'empty lines': '\n\n', 'null': 'null', 'a list': f'[{sound}]', 'a text': '"frame"',
        'a number': '3', 'no JSON': sound.replace('"', "'"), 'a comma at the end': sound[:-1] + ',}',
        'two frames in a line': sound * 2, 'a frame in two lines': sound.replace(', ', ',\n', 1),
        'a field twice': sound[:-1] + ', "sequence": "b"}',
        'NaN': sound.replace('40.0', 'NaN'), 'infinity': sound.replace('40.0', '1e999'), 'deeply nested': '[' * 100_000,
        'deep field': '{"a":' * 50_000, 'a number of 5000 digits': sound.replace('40.0', '9' * 5000),
        'a zero byte': sound.replace('a', '\0', 1), 'a comment': f'# {sound}',
    }
    for split in ('../../../x', '/tmp/x', 'a/b', '..', '.', 'a\\b', 'a\n', '', 'x' * 300, 'a\0b', 'train.pkl', '~'):
        others[f'split {split[:20]!r}'] = json.dumps(dict(samples.OWN_FRAME, split=split))
    for path in ('../../../etc/passwd', '/etc/passwd', 'C:\\a.png', 'training', '.', '/dev/zero', 'a\0b', 'x' * 5000,
                 'training/image_2/000000.PNG/', 'file:///etc/passwd', 'http://127.0.0.1/a.png'):
        for place in ((*_CAMERA, 'img_path'), ('lidar_points', 'lidar_path')):
            others[f'{place[-1]} {path[:30]!r}'] = json.dumps(changed(samples.OWN_FRAME, place, path))
    for name, text in others.items():
        yield Case('own frames', name, partial(convert, text.encode()))
    for name, content in damaged(sound.encode(), 0, flips=0):
        if name != 'all but the last byte':
            yield Case('own frames', name, partial(convert, content))


def cases(seed: int = 0) -> Iterator[Case]:
    """All cases of this kind."""
    yield from _own_fields(seed)
    yield from _lines()
