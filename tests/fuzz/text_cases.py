"""Texts of KITTI's data sets: calibrations, lists of frames, time stamps; and those of Waymo's folders."""
import contextlib
import io
import pickle
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory

import samples
from mutations import damaged
from outcomes import Case

from simipu.datasets.converters import (
    create_kitti_infos,
    create_kitti_odometry_infos,
    create_kitti_raw_infos,
    create_waymo_infos,
)


def _kitti(text: str) -> Callable[[Path], Path]:
    """KITTI's object set, with another calibration in all frames."""
    def write(root: Path) -> Path:
        samples.write_kitti(root)
        return samples.write(root, {f'training/calib/{name}.txt': text for name in ('000000', '000001')})
    return write


# By name: what writes the data set, what converts it, and where the text is.
DATA_SETS = {
    'object': (_kitti(samples.CALIBRATION), create_kitti_infos, 'training/calib/000000.txt'),
    'tracking': (_kitti(samples.TRACKING), create_kitti_infos, 'training/calib/000000.txt'),
    'odometry': (samples.write_odometry, create_kitti_odometry_infos, 'sequences/00/calib.txt'),
    'raw cameras': (samples.write_raw, create_kitti_raw_infos, '2011_09_26/calib_cam_to_cam.txt'),
    'raw LiDAR': (samples.write_raw, create_kitti_raw_infos, '2011_09_26/calib_velo_to_cam.txt'),
    'Waymo': (partial(samples.write_waymo, with_infos=False), create_waymo_infos, 'training/calib/0000000.txt'),
    'list of frames': (samples.write_kitti, create_kitti_infos, 'ImageSets/train.txt'),
    'times of raw': (samples.write_raw, create_kitti_raw_infos,
                     '2011_09_26/2011_09_26_drive_0001_sync/velodyne_points/timestamps.txt'),
    'times of odometry': (samples.write_odometry, create_kitti_odometry_infos, 'sequences/00/times.txt'),
    'time of Waymo': (partial(samples.write_waymo, with_infos=False), create_waymo_infos,
                      'training/timestamp/0000000.txt'),
}
# The keys of a calibration that are read.
_KEYS = {'object': ('P2', 'R0_rect', 'Tr_velo_to_cam'), 'tracking': ('P2', 'R_rect', 'Tr_velo_cam'),
         'odometry': ('P2', 'Tr'), 'raw cameras': ('P_rect_02', 'R_rect_00', 'S_rect_02'), 'raw LiDAR': ('R', 'T'),
         'Waymo': ('P0', 'Tr_velo_to_cam_0')}


def convert(data_set: str, content: bytes | None, folder: Path) -> list[dict]:
    """The frames of a data set whose text is another one."""
    write, create, path = DATA_SETS[data_set]
    write(folder)
    if content is not None:
        (folder / path).write_bytes(content)
    return frames_of(create, folder)


def frames_of(create: Callable, folder: Path) -> list[dict]:
    """All frames of the info files that a converter writes."""
    with contextlib.redirect_stdout(io.StringIO()):
        written = create(folder, folder / 'out', num_workers=1)
    return [frame for split in written for frame in pickle.loads(split.info_file.read_bytes())['data_list']]


@cache
def sound_frames(data_set: str) -> list[dict]:
    """Those of the unchanged data set."""
    with TemporaryDirectory() as folder:
        return convert(data_set, None, Path(folder))


def _as_sound(data_set: str, found: list[dict]) -> str | None:
    return None if found == sound_frames(data_set) else 'other frames than from the sound file'


def _text_of(data_set: str) -> str:
    with TemporaryDirectory() as folder:
        return (DATA_SETS[data_set][0](Path(folder)) / DATA_SETS[data_set][2]).read_text()


def _calibrations() -> Iterator[Case]:
    for data_set, keys in _KEYS.items():
        lines = _text_of(data_set).splitlines()
        for key in keys:
            line = next(line for line in lines if line.split()[0].rstrip(':') == key)
            name, *values = line.split()
            others = {
                'left out': None, 'without numbers': name, 'a number less': ' '.join([name, *values[:-1]]),
                'a number more': f'{line} 1', 'a word': ' '.join([name, 'x', *values[1:]]),
                'NaN': ' '.join([name, 'nan', *values[1:]]), 'infinity': ' '.join([name, 'inf', *values[1:]]),
                '1e999': ' '.join([name, '1e999', *values[1:]]), '1e30': ' '.join([name, '1e30', *values[1:]]),
                'all zero': ' '.join([name, *['0'] * len(values)]), 'all one': ' '.join([name, *['1'] * len(values)]),
                'a decimal comma': ' '.join([name, '4,5', *values[1:]]), 'twice': f'{line}\n{line} 1',
                'an underscore': ' '.join([name, '4_0', *values[1:]]),
            }
            if key == 'T':  # any numbers may be a translation
                others = {name: other for name, other in others.items() if not name.startswith('all ')}
            for mutation, other in others.items():
                text = '\n'.join(item if item != line else other for item in lines if (item, other) != (line, None))
                yield Case('calibration texts', f'{data_set}, {key}: {mutation}',
                           partial(convert, data_set, text.encode()), partial(_as_sound, data_set)
                           if key == 'S_rect_02' and other is None else partial(_never, data_set))


def _never(data_set: str, found: list[dict]) -> str:
    return 'was accepted'


def _encodings() -> Iterator[Case]:
    for data_set in DATA_SETS:
        text = _text_of(data_set)
        group = 'calibration texts' if data_set in _KEYS else 'lists and time stamps'
        for encoding in ('utf-8-sig', 'utf-16', 'utf-16-be', 'utf-32'):
            yield Case(group, f'{data_set}: {encoding}', partial(convert, data_set, text.encode(encoding)),
                       partial(_as_sound, data_set))
        yield Case(group, f'{data_set}: line ends of Windows', partial(
            convert, data_set, text.replace('\n', '\r\n').encode()), partial(_as_sound, data_set))
        yield Case(group, f'{data_set}: not UTF-8', partial(convert, data_set, b'\xff\xfe\xfd' + text.encode()))
        for name, content in damaged(text.encode(), 0, flips=0):
            if name not in ('all but the last byte', 'text', 'backwards'):
                yield Case(group, f'{data_set}: {name}', partial(convert, data_set, content),
                           partial(_some_frames, data_set))


def _some_frames(data_set: str, found: list[dict]) -> str | None:
    """A list that is cut at the end of a line has fewer frames, and nothing tells; each is as it was."""
    sound = sound_frames(data_set)
    if all(frame in sound for frame in found) and (data_set == 'list of frames' or len(found) == len(sound)):
        return None
    return 'other frames than from the sound file'


def _lists() -> Iterator[Case]:
    for text in ('', '\n\n', '# nothing\n', 'a\nb\n', '-1\n', '000000\n000002\n', '9' * 5000, '../../../etc/passwd',
                 '/etc/passwd', '0\n\n1\n9999999999999999999\n', '\u0660\n', '000000\0\n', 'x' * 100_000):
        yield Case('lists and time stamps', f'list {text[:20]!r}', partial(convert, 'list of frames', text.encode()))
    for text in ('0\n1\n', '000000,\n000001,', '000000 000001\n', '1\n0\n1\n'):
        yield Case('lists and time stamps', f'list {text!r}', partial(convert, 'list of frames', text.encode()),
                   lambda found: None if {frame['sample_idx'] for frame in found} == {0, 1} else 'other frames')


def _times() -> Iterator[Case]:
    for data_set, sound in (('times of raw', '2011-09-26 13:02:25.951199337'), ('times of odometry', '1.037359e-01'),
                            ('time of Waymo', '1550083467346370')):
        for line in ('', 'x', 'nan', 'inf', '-inf', '1e999', '1_0', '2011-09-26', '2011-09-26 13:02', '9' * 5000,
                     '2011-13-26 13:02:25', '2011-09-26T13:02:25+09:00', '26.09.2011 13:02:25', '-5', '0x10', '1.0.0',
                     '\u0661', f'{sound[:-1]},'):
            text = line if data_set == 'time of Waymo' else f'{line}\n{sound}\n'
            yield Case('lists and time stamps', f'{data_set}: {line[:30]!r}', partial(convert, data_set, text.encode()))
        if data_set != 'time of Waymo':
            yield Case('lists and time stamps', f'{data_set}: too few',
                       partial(convert, data_set, f'{sound}\n'.encode()))


def cases() -> Iterator[Case]:
    """All cases of this kind."""
    yield from _calibrations()
    yield from _encodings()
    yield from _lists()
    yield from _times()
