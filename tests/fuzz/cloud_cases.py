"""Clouds of every format: damaged files, and headers that say what is not so."""
import io
import pickle
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import samples
from mutations import damaged
from outcomes import PAYLOAD, Case

from simipu.datasets.readers import CloudLayout, check_cloud_file, drop_no_returns, read_cloud

SOUND = {
    'bin': samples.points().tobytes(), 'npy': samples.npy_bytes(), 'npz': samples.npz_bytes(),
    'ascii.pcd': samples.pcd_bytes('ascii'), 'binary.pcd': samples.pcd_bytes(),
    'compressed.pcd': samples.pcd_bytes('binary_compressed'), 'ascii.ply': samples.ply_bytes('ascii'),
    'binary.ply': samples.ply_bytes(), 'las': samples.las_bytes(),
}
_HEADERS = {
    'pcd': {
        b'POINTS 100': (b'POINTS 101', b'POINTS -1', b'POINTS 0', b'POINTS 99999999999999', b'POINTS x', b'POINTS'),
        b'SIZE 4 4 4 4': (b'SIZE 4 4 4', b'SIZE 3 3 3 3', b'SIZE 0 0 0 0', b'SIZE -4 4 4 4', b'SIZE 8 8 8 8', b'SIZE'),
        b'TYPE F F F F': (b'TYPE X F F F', b'TYPE F F F', b'TYPE', b'TYPE O O O O'),
        b'COUNT 1 1 1 1': (b'COUNT 1000000000 1 1 1', b'COUNT 0 0 0 0', b'COUNT -1 1 1 1', b'COUNT 1', b'COUNT a'),
        b'FIELDS x y z intensity': (b'FIELDS x y intensity', b'FIELDS x x x x', b'FIELDS', b'FIELDS a b c d'),
        b'DATA': (b'DATA binary_lzma\n#', b'NOTHING', b'DATA'.ljust(4) + b' \n#'),
    },
    'ply': {
        b'element vertex 100': (b'element vertex -1', b'element vertex 0', b'element vertex 99999999999999',
                                b'element vertex x', b'element face 100', b'element vertex'),
        b'property float x': (b'property float y', b'property list uchar float x', b'property double x',
                              b'property complex x', b'property'),
        b'format': (b'form', b'format binary_middle_endian 1.0\ncomment'),
        b'end_header': (b'end', ),
    },
}


def read(content: bytes, name: str, folder: Path) -> np.ndarray:
    """The points, as training reads them, after a look as converters have it."""
    path = folder / name
    path.write_bytes(content)
    check_cloud_file(str(path))
    return read_cloud(str(path), content)


def _damaged_points(content: bytes, name: str, found: np.ndarray) -> str | None:
    """Accepted points are the sound ones but for a few, whose bits no format protects; there may not be fewer."""
    sound = read_cloud(name, SOUND[name])
    if name == 'bin':
        sound = np.frombuffer(content, np.float32).reshape(-1, 4)
    if found.shape != sound.shape:
        return f'{found.shape} values, where {sound.shape} are sound'
    number = np.count_nonzero(~np.isclose(found, sound, equal_nan=True))
    return f'{number} other values' if number > 8 else None


def _headers() -> Iterator[Case]:
    for name, sound in SOUND.items():
        for wanted, others in _HEADERS.get(name.rpartition('.')[2], {}).items():
            for other in others:
                changed = sound.replace(wanted, other, 1)
                # Of numbers in a text, SIZE has no consequence.
                yield Case('clouds', f'{name}: {other.decode()!r}', partial(read, changed, name),
                           partial(_damaged_points, changed, name))


def _arrays() -> Iterator[Case]:
    points = samples.points()
    arrays = {
        'one dimension': points.ravel(), 'three dimensions': points[None], 'transposed': points.T,
        'text': points.astype(str), 'complex': points.astype(complex), 'no points': points[:0],
        'truth values': points > 0, 'dates': np.zeros((5, 4), 'M8[s]'), 'a number': np.float32(3),
        'two columns': points[:, :2],
        '99 columns': np.ones((50, 99)), 'a record without z': np.zeros(50, [('x', 'f4'), ('y', 'f4')]),
        'all zero': points * 0, 'all nan': points * np.nan, 'large': points * 1e20,
        'column of one value': np.ones((50, 4)),
    }
    for name, array in arrays.items():
        yield Case('clouds', f'npy: {name}', partial(_use, samples.npy_bytes(np.asarray(array)), 'a.npy'))
    stream = io.BytesIO()
    np.save(stream, np.array([[_Attack()] * 4] * 5, dtype=object), allow_pickle=True)
    yield Case('clouds', 'npy: objects that run code', partial(read, stream.getvalue(), 'a.npy'))
    for shape in ('(100000000000, 4)', '(-1, 4)', '(100, 4, )*2', '(100', '(10**9, 4)'):
        content = samples.npy_bytes().replace(b'(100, 4)', shape.encode().ljust(8))
        yield Case('clouds', f'npy: the shape {shape}', partial(read, content, 'a.npy'))
    members = {'no array': {'readme.txt': b'hello'}, 'none at all': {},
               'arrays of other lengths': {f'{axis}.npy': samples.npy_bytes(points[:50 + number, number])
                                           for number, axis in enumerate('xyz')},
               'a path': {'../../a.npy': samples.npy_bytes(np.zeros((5, 2)))},
               'a pickle': {'a.npy': pickle.dumps(_Attack())}}
    for name, files in members.items():
        yield Case('clouds', f'npz: {name}', partial(_read_archive, files))
    claims = bytearray(samples.npz_bytes())
    entry = claims.index(b'PK\x01\x02')
    claims[entry + 24:entry + 28] = (3 * 10**9).to_bytes(4, 'little')
    yield Case('clouds', 'npz: 3 GB when unpacked', partial(read, bytes(claims), 'a.npz'))


class _Attack:

    def __reduce__(self) -> tuple:
        import os
        return os.system, (PAYLOAD, )


def _read_archive(files: dict[str, bytes], folder: Path) -> np.ndarray:
    with zipfile.ZipFile(folder / 'a.npz', 'w', zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return read((folder / 'a.npz').read_bytes(), 'a.npz', folder)


def _use(content: bytes, name: str, folder: Path) -> np.ndarray:
    """The points that are left for training; none is an error of the loader."""
    from simipu.datasets.transforms import LoadPairedPoints
    (folder / name).write_bytes(content)
    return LoadPairedPoints()(dict(lidar_path=str(folder / name)))['points'].numpy()


def _layouts() -> Iterator[Case]:
    for dtype in ('float', 'f8', 'object', 'O', 'f4,f4', '(2,2)f4', 'V8', 'U4', 'M8[s]', '', 'x' * 1000,
                  '<f4; import os', 'datetime64', 'int0', 'f99999999999'):
        yield Case('clouds', f'dtype {dtype[:20]!r}', partial(_read_layout, CloudLayout(4, dtype)), _plausible)
    for width in (3, 7, 1000, 10**6, 10**12):
        yield Case('clouds', f'{width} values per point', partial(_read_layout, CloudLayout(width)), _plausible)


def _read_layout(layout: CloudLayout, folder: Path) -> np.ndarray:
    return read_cloud('a.bin', SOUND['bin'], layout)


def _plausible(found: np.ndarray) -> str | None:
    points, _ = drop_no_returns(found)
    return None if np.array_equal(points[:, :3], samples.points()[:, :3]) else 'not the points of the file'


def cases(seed: int = 0) -> Iterator[Case]:
    """All cases of this kind."""
    for name, content in SOUND.items():
        header = next((content.index(mark) + len(mark) for mark in (b'DATA ', b'end_header\n') if mark in content), 128)
        for damage, mutated in damaged(content, seed, flips=6, start=0 if name == 'bin' else header):
            yield Case('clouds', f'{name}: {damage}', partial(read, mutated, name),
                       partial(_damaged_points, mutated, name))
    yield from _headers()
    yield from _arrays()
    yield from _layouts()
