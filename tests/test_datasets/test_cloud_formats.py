"""The same points from files of every format, written by other libraries or by hand from the specification."""
import importlib
from io import BytesIO

import numpy as np
import pytest
from mmdet3d.registry import TRANSFORMS

from simipu.datasets.readers import read_cloud
from simipu.errors import DataError, DependencyError

POINTS = np.float32([[8.5, -1, 0.25, 0.5], [20, 3, -1.5, 0], [4, 2, 1, 1], [30.25, 7, 0.125, 0.75]])
NAMES = ('x', 'y', 'z', 'intensity')


def pcd_header(data: str, fields: str, sizes: str, types: str, counts: str, num_points: int = 4) -> bytes:
    return (f'# .PCD v0.7 - Point Cloud Data file format\nVERSION 0.7\nFIELDS {fields}\nSIZE {sizes}\nTYPE {types}\n'
            f'COUNT {counts}\nWIDTH {num_points}\nHEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS {num_points}\n'
            f'DATA {data}\n').encode()


def odd_fields() -> tuple[bytes, list[tuple[np.ndarray, int]]]:
    """Fields with padding, several values, another order and another type; their header and columns."""
    intensity = (255 * POINTS[:, 3]).astype('<u2')
    columns = [POINTS[:, 2:3], np.zeros((4, 3), np.uint8), np.arange(20, dtype='<f4').reshape(4, 5),
               POINTS[:, 0:1].astype('<f8'), POINTS[:, 1:2], np.ones((4, 2), np.uint8), intensity[:, None]]
    header = ('z _ normal x y _ intensity', '4 1 4 8 4 1 2', 'F U F F F U U', '1 3 5 1 1 2 1')
    return header, columns


ODD = POINTS * np.float32([1, 1, 1, 0]) + np.float32([0, 0, 0, 1]) * (255 * POINTS[:, 3:]).astype(np.uint16)


def pcd_ascii() -> bytes:
    lines = ''.join(f'{x} {y}\t{z}  {i}\r\n' for x, y, z, i in POINTS)
    return pcd_header('ascii', 'x y z intensity', '4 4 4 4', 'F F F F', '1 1 1 1') + lines.encode()


def pcd_binary() -> bytes:
    return pcd_header('binary', 'x y z intensity', '4 4 4 4', 'F F F F', '1 1 1 1') + POINTS.tobytes()


def pcd_short_header() -> bytes:
    return pcd_binary().replace(b'COUNT 1 1 1 1\n', b'').replace(b'POINTS 4\n', b'')


def pcd_odd_binary() -> bytes:
    header, columns = odd_fields()
    rows = [b''.join(column[row].tobytes() for column in columns) for row in range(4)]
    return pcd_header('binary', *header) + b''.join(rows)


def lzf_literals(content: bytes) -> bytes:
    """A valid LZF stream without any copy."""
    runs = [content[start:start + 32] for start in range(0, len(content), 32)]
    return b''.join(bytes([len(run) - 1]) + run for run in runs)


def compressed(header: bytes, content: bytes, pack=lzf_literals) -> bytes:
    packed = pack(content)
    return header + np.array([len(packed), len(content)], '<u4').tobytes() + packed


def pcd_odd_compressed() -> bytes:
    header, columns = odd_fields()
    return compressed(pcd_header('binary_compressed', *header), b''.join(column.tobytes() for column in columns))


def npy(array: np.ndarray) -> bytes:
    file = BytesIO()
    np.save(file, array)
    return file.getvalue()


def npz(**arrays: np.ndarray) -> bytes:
    file = BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def structured() -> np.ndarray:
    points = np.zeros(4, [('time', 'f8'), *((name, 'f4') for name in NAMES)])
    for column, name in enumerate(NAMES):
        points[name] = POINTS[:, column]
    return points


def ply(text: bool) -> bytes:
    plyfile = pytest.importorskip('plyfile')
    file = BytesIO()
    plyfile.PlyData([plyfile.PlyElement.describe(structured(), 'vertex')], text=text).write(file)
    return file.getvalue()


def las(offsets: tuple = (0, 0, 0)) -> bytes:
    laspy = pytest.importorskip('laspy')
    header = laspy.LasHeader(point_format=3, version='1.2')
    header.scales, header.offsets = [0.001] * 3, offsets
    cloud = laspy.LasData(header)
    cloud.x, cloud.y, cloud.z = (POINTS[:, :3] + np.array(offsets)).T
    cloud.intensity = (255 * POINTS[:, 3]).astype(np.uint16)
    file = BytesIO()
    cloud.write(file)
    return file.getvalue()


FILES = {
    'pcd, ascii': ('.pcd', pcd_ascii, POINTS),
    'pcd, binary': ('.pcd', pcd_binary, POINTS),
    'pcd, binary, odd fields': ('.pcd', pcd_odd_binary, ODD),
    'pcd, compressed, odd fields': ('.pcd', pcd_odd_compressed, ODD),
    'pcd, short header': ('.PCD', pcd_short_header, POINTS),
    'npy': ('.npy', lambda: npy(POINTS), POINTS),
    'npy, float64 in Fortran order': ('.npy', lambda: npy(np.asfortranarray(POINTS, np.float64)), POINTS),
    'npy, x, y, z': ('.npy', lambda: npy(POINTS[:, :3]), POINTS[:, :3]),
    'npy, fields': ('.npy', lambda: npy(structured()), POINTS),
    'npz, one array': ('.npz', lambda: npz(points=POINTS), POINTS),
    'npz, arrays by name': ('.npz', lambda: npz(z=POINTS[:, 2], y=POINTS[:, 1], x=POINTS[:, 0],
                                                reflectivity=POINTS[:, 3]), POINTS),
    'ply, ascii': ('.ply', lambda: ply(True), POINTS),
    'ply, binary': ('.ply', lambda: ply(False), POINTS),
    'las': ('.las', las, ODD),
}


@pytest.mark.parametrize('name', FILES)
def test_points_are_those_that_were_written(name, tmp_path):
    suffix, make, expected = FILES[name]
    path = tmp_path / f'0{suffix}'
    path.write_bytes(make())
    points = TRANSFORMS.build(dict(type='LoadPairedPoints'))(dict(lidar_path=str(path)))['points']
    np.testing.assert_allclose(points.tensor, expected, atol=1e-6)


@pytest.mark.parametrize('longest', [264, 8, 3])
def test_lzf_copies_are_expanded(longest):
    """16 bytes as they are, then copies of what lies 16 bytes before, longer ones overlapping their own output."""
    pattern = np.float32([1, 5, -2, 30])
    packed, expanded = bytes([15]) + pattern.tobytes(), 0
    while todo := 1600 - 16 - expanded:
        length = min(longest, todo)
        expanded += length
        packed += bytes([7 << 5, length - 9, 15]) if length > 8 else bytes([(length - 2) << 5, 15])
    header = pcd_header('binary_compressed', 'x y z intensity', '4 4 4 4', 'F F F F', '1 1 1 1', 100)
    content = header + np.array([len(packed), 1600], '<u4').tobytes() + packed
    np.testing.assert_array_equal(read_cloud('0.pcd', content), np.repeat(np.tile(pattern, 25)[:, None], 4, axis=1))


@pytest.mark.parametrize('path, content, message', [
    ('0.pcd', pcd_binary()[:-1], 'header says 4 points, but the file does not hold as many .it holds 3'),
    ('0.pcd', pcd_binary() + bytes(16), 'header says 4 points, but .*it holds 5'),
    ('0.pcd', pcd_odd_compressed()[:-9], 'header says 4 points'),
    ('0.pcd', pcd_ascii()[:-9], 'header says 4 points'),
    ('0.pcd', pcd_binary().replace(b'TYPE F F F F', b'TYPE F F F'), 'malformed PCD header'),
    ('0.pcd', pcd_binary().replace(b'DATA binary', b'DATA packed'), 'malformed PCD header'),
    ('0.pcd', POINTS.tobytes(), 'no line DATA'),
    ('0.npy', npy(POINTS)[:-5], 'cannot be read as .npy file'),
    ('0.npy', npy(POINTS.T[:, :2]), r'expected an array \(N, C\)'),
    ('0.npy', npy(np.tile(POINTS, (20, 1)).T), r'found the shape \(4, 80\); .* transposed'),
    ('0.npy', npy(np.array([{}])), 'cannot be read as .npy file'),
    ('0.npz', npz(a=POINTS, b=POINTS), 'no x, y, z; .* found a, b'),
    ('0.ply', b'ply\nformat ascii 1.0\n', 'cannot be read as .ply file'),
    ('0.las', b'LASF' + bytes(200), 'no LAS file'),
    ('0.las', las()[:100] + b'\xff' * 4 + las()[104:], 'its header claims more'),  # four billion records
], ids=range(15))
def test_damaged_files_are_one_line(path, content, message):
    with pytest.raises(DataError, match=f'^{path}: .*{message}'):
        read_cloud(path, content)


def test_map_coordinates_are_refused():
    points = np.float32(np.random.default_rng(0).uniform(-30, 30, (100, 4)))
    points[:, :2] += 432100, 5412300
    with pytest.raises(DataError, match='x is about 4321.. m, .*as seen from the LiDAR'):
        read_cloud('0.npy', npy(points))


@pytest.mark.parametrize('path, module', [('0.ply', 'plyfile'), ('0.las', 'laspy')])
def test_a_missing_library_is_one_line(path, module, monkeypatch):
    def refuse(name, *args):
        if name == module:
            raise ImportError(name)
        return import_module(name, *args)

    import_module = importlib.import_module
    monkeypatch.setattr(importlib, 'import_module', refuse)
    with pytest.raises(DependencyError, match=f'{path} needs the package {module}: pip install "{module}'):
        read_cloud(path, b'')
