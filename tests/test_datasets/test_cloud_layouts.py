"""Files of bare numbers whose layout is not the one that is expected are refused where they are read."""
import gzip
import json
import pickle
import re
from io import BytesIO

import numpy as np
import pytest

from simipu.datasets.converters.common import check_point_file
from simipu.datasets.readers import CloudLayout, read_cloud
from simipu.errors import DataError


def scan(num_points: int = 9600, seed: int = 0) -> np.ndarray:
    """(N, 4) float32: a turn of a LiDAR 1.7 m above a road, beside houses; x, y, z, intensity."""
    rng = np.random.default_rng(seed)
    elevation, azimuth = np.meshgrid(np.radians(np.linspace(-24, 2, 32)),
                                     np.linspace(-np.pi, np.pi, num_points // 32), indexing='ij')
    ray = np.stack([np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth),
                    np.sin(elevation)], axis=-1).reshape(-1, 3)
    to_ground = np.where(ray[:, 2] < 0, -1.7 / ray[:, 2], np.inf)
    to_houses = 12 / np.abs(ray[:, 1])
    distance = np.minimum(np.minimum(to_ground, to_houses), 80) + rng.normal(0, 0.02, len(ray))
    return np.c_[ray * distance[:, None], rng.uniform(0, 1, len(ray))].astype(np.float32)


def with_ring(points: np.ndarray) -> np.ndarray:
    return np.c_[points, np.arange(len(points)) % 32].astype(np.float32)


def bytes_of(values: np.ndarray, kind: str = '<f4') -> bytes:
    return values.astype(kind).tobytes()


def npy_of(values: np.ndarray) -> bytes:
    file = BytesIO()
    np.save(file, values)
    return file.getvalue().ljust(-(-len(file.getvalue()) // 16) * 16, b'\0')


def records_of(points: np.ndarray) -> bytes:
    """x, y, z as float32, intensity and ring as bytes."""
    records = np.zeros(len(points), 'f4, f4, f4, u1, u1')
    records['f0'], records['f1'], records['f2'] = points[:, :3].T
    records['f3'] = 255 * points[:, 3]
    return records.tobytes()


def text_of(points: np.ndarray) -> bytes:
    file = BytesIO()
    np.savetxt(file, points[:, :3], '%.3f')
    return file.getvalue()[:48000]


# By name: content, the width that is expected, what the message says.
MISTAKEN = {
    'float64': (lambda points: bytes_of(points, '<f8'), 4, 'holds? float64 with 4 values'),
    'float64 of round numbers': (lambda points: bytes_of(points.round(), '<f8'), 4, 'holds? float64 with 4 values'),
    'float64 with ring': (lambda points: bytes_of(with_ring(points), '<f8'), 4, 'float64 with 5 values'),
    'float64, x, y, z': (lambda points: bytes_of(points[:, :3], '<f8'), 3, 'float64 with 3 values'),
    'big-endian': (lambda points: bytes_of(points, '>f4'), 4, r'float32 \(big-endian\) with 4 values'),
    'float16': (lambda points: bytes_of(points, '<f2'), 4, 'float16 with 4 values'),
    'int16 of centimetres': (lambda points: bytes_of(100 * points, '<i2'), 4, 'int16 with 4 values'),
    'int32 of millimetres': (lambda points: bytes_of(1000 * points, '<i4'), 4, 'int32 with 4 values'),
    'ring in a fifth column': (lambda points: bytes_of(with_ring(points)), 4, 'float32 with 5 values'),
    'five columns as six': (lambda points: bytes_of(with_ring(points)), 6, 'float32 with 5 values'),
    'x, y, z only': (lambda points: bytes_of(points[:, :3]), 4, 'float32 with 3 values'),
    'intensity as three': (lambda points: bytes_of(points), 3, 'float32 with 4 values'),
    'two points a row': (lambda points: bytes_of(points), 8, 'float32 with 4 values'),
    'six columns as three': (lambda points: bytes_of(np.c_[with_ring(points), points[:, 3]]), 3, 'with 6 values'),
    'stored by column': (lambda points: bytes_of(points.T), 4, 'column by column'),
    'bytes of colours': (lambda points: (255 * points).astype(np.uint8).tobytes(), 4, 'Write it anew'),
    '.npy named .bin': (npy_of, 4, 'begins as a NumPy array does; rename it to .npy'),
    '.npz named .bin': (lambda points: b'PK\x03\x04' + bytes(60), 4, 'rename it to .npz'),
    '.pcd named .bin': (lambda points: b'# .PCD v0.7 - Point Cloud Data file\n'.ljust(48), 4, 'rename it to .pcd'),
    'gzip': (lambda points: gzip.compress(bytes_of(points)), 4, 'gunzip'),
    'web page': (lambda points: b'<!DOCTYPE html>\n', 4, 'download the file again'),
    'text': (text_of, 4, 'it is text'),
    'text with a heading': (lambda points: b'x,y,z,intensity\n' + 50 * b'18.3,0.049,0.829,0.5\n'[:16], 4, 'it is text'),
    'JSON': (lambda points: json.dumps(points.tolist()).encode()[:4800], 4, 'it is text'),
    'a pickle': (lambda points: pickle.dumps(points.tolist(), 4)[:4800], 4, 'begins as a pickle does'),
    'records of mixed types': (records_of, 4, 'Write it anew, with x, y, z in metres'),
}


@pytest.mark.parametrize('name', MISTAKEN)
def test_another_layout_is_refused_and_named(name, tmp_path):
    make, width, message = MISTAKEN[name]
    content = make(scan())
    with pytest.raises(DataError, match=f'(?s)0.bin.*{message}'):
        read_cloud('0.bin', content, CloudLayout(width))
    (tmp_path / '0.bin').write_bytes(content)
    with pytest.raises(DataError, match=f'(?s)0.bin.*{message}'):
        check_point_file(tmp_path / '0.bin', width, 'a list')


@pytest.mark.parametrize('name', ['float64', 'float64 with ring', 'float64, x, y, z', 'big-endian', 'float16',
                                  'ring in a fifth column', 'x, y, z only'])
def test_either_remedy_of_the_message_leads_out(name, tmp_path):
    make, width, _ = MISTAKEN[name]
    path = tmp_path / '0.bin'
    path.write_bytes(make(scan()))
    with pytest.raises(DataError) as error:
        check_point_file(path, width, 'a list')
    found, dtype = re.search(r"num_pts_feats=(\d) and dtype='(.+?)'", str(error.value)).groups()
    stated = read_cloud(str(path), path.read_bytes(), CloudLayout(int(found), dtype))
    np.testing.assert_allclose(stated[:, :3], scan()[:, :3], rtol=1e-3, atol=1e-3)
    command = re.search(r'Write it anew.*?: (numpy.+?tofile\(f\))', str(error.value)).group(1)
    exec(command, dict(numpy=np, f=path))
    written = read_cloud(str(path), path.read_bytes(), CloudLayout(width))
    np.testing.assert_allclose(written[:, :3], scan()[:, :3], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize('beginning', [b'<', b'\x1f\x8b', b'PK', b'\xff\xd8'])
def test_a_sound_cloud_may_begin_with_any_bytes(beginning):
    """The lower bytes of the first coordinate are as good as random: one sweep of 256 begins with <."""
    points = scan()
    content = beginning + bytes_of(points)[len(beginning):]
    np.testing.assert_allclose(read_cloud('0.bin', content), points, rtol=2 ** -6)


def test_integers_in_a_column_are_refused_where_it_is_used():
    points = scan()
    content = np.c_[points[:, :3].view('u4'), (255 * points[:, 3]).astype('u4')].tobytes()
    with pytest.raises(DataError, match='column 3 holds .* Write it anew, with x, y, z in metres'):
        read_cloud('0.bin', content, columns=range(4))
    np.testing.assert_array_equal(read_cloud('0.bin', content)[:, :3], points[:, :3])


@pytest.mark.parametrize('dtype', ['foo32', 'object0', 'c8', 'datetime64', 'int8'])
def test_a_type_of_no_numbers_is_refused(dtype):
    with pytest.raises(DataError, match=f"0.bin: dtype='{dtype}' is no type of coordinates"):
        read_cloud('0.bin', bytes_of(scan()), CloudLayout(4, dtype))


@pytest.mark.parametrize('array, message', [
    (np.full((9, 4), 'a'), 'expected numbers, found values of type <U1'),
    (np.ones((9, 4), complex), 'expected numbers, found values of type complex128'),
    (np.ones((0, 4)), 'found no points'),
    (np.ones((4, 99)), r'write it anew, transposed \(array.T\)'),
    (np.ones((64, 99, 5)), r'write it anew, as array.reshape\(-1, 5\)'),
    (np.ones((64, 2048)), 'with x, y, z and intensity of a point in each row')])
def test_arrays_that_are_no_points_are_refused(array, message):
    file = BytesIO()
    np.save(file, array)
    with pytest.raises(DataError, match=f'0.npy: .*{message}'):
        read_cloud('0.npy', file.getvalue())


def test_named_columns_of_one_value_per_row():
    file = BytesIO()
    np.savez(file, x=scan()[:, :1], y=scan()[:, 1:2], z=scan()[:, 2:3])
    np.testing.assert_array_equal(read_cloud('0.npz', file.getvalue()), scan()[:, :3])
