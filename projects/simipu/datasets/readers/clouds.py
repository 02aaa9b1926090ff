"""Read point clouds of the common file formats, and refuse what no LiDAR gives."""
import importlib
import os
import re
import string
import struct
from collections.abc import Sequence
from io import BytesIO
from typing import NamedTuple

import numpy as np

from ...errors import DataError, DependencyError, SimIPUError
from ...files import open_regular, refuse_lfs_pointer, shown
from .pcd import read_pcd
from .plausibility import STORED_BY_COLUMN, guess_layout, problem_of

DEFAULT_WIDTH = 4
MAX_WIDTH = 32
MAX_UNPACKED = 2 ** 31  # bytes of an archive
INTENSITY_NAMES = ('intensity', 'i', 'reflectivity', 'reflectance', 'scalar_intensity')

_WANTED = ('Write it anew, with x, y, z in metres as seen from the LiDAR and one row per point; of your own frames, '
           'create_data.py jsonl does so with --clouds-in global (map coordinates) or --cloud-unit mm')

# How files begin, and what to do with such a file that is read as bare numbers. The first bytes of a coordinate are as
# good as random, so shorter beginnings would be met in sound clouds.
_SIGNATURES = {
    b'\x93NUMPY': ('a NumPy array', 'rename it to .npy, also in your frames, or write it anew: '
                    "numpy.load(f)[:, :{width}].astype('float32').tofile(f)"),
    b'PK\x03\x04': ('an archive such as .npz', 'rename it to .npz, or unpack it'),
    b'# .PCD': ('a PCD file', 'rename it to .pcd'),
    b'VERSION ': ('a PCD file', 'rename it to .pcd'),
    b'ply\n': ('a PLY file', 'rename it to .ply'),
    b'ply\r': ('a PLY file', 'rename it to .ply'),
    b'LASF': ('a LAS file', 'rename it to .las'),
    b'\x1f\x8b\x08': ('a gzip archive', 'unpack it with gunzip'),
    b'\x80\x04\x95': ('a pickle', 'write its points to a .npy file'),
    b'\x89HDF': ('an HDF5 file', 'write its points to a .npy file'),
    b'\x89PNG': ('a PNG image', 'correct the path of the cloud'),
    b'\xff\xd8\xff': ('a JPEG image', 'correct the path of the cloud'),
    b'<!DO': ('a web page', 'download the file again'),
    b'<!do': ('a web page', 'download the file again'),
    b'<htm': ('a web page', 'download the file again'),
    b'<?xml': ('an XML file', 'download the file again'),
}
_NUMBERS = 'fiu'  # kinds of NumPy types
_TEXT = string.printable.encode()


class CloudLayout(NamedTuple):
    """How the numbers of a file that says nothing about itself (``.bin``) are to be read.

    Attributes:
        width: Values per point; None: ``DEFAULT_WIDTH``. Of other files, which say it, only compared if given.
        dtype: NumPy type of a value: 'float32', 'float64', '>f4' ...
    """
    width: int | None = None
    dtype: str = 'float32'


def read_cloud(path: str, content: bytes, layout: CloudLayout = CloudLayout(),
               columns: Sequence[int] = (0, 1, 2)) -> np.ndarray:
    """The points of a cloud of any format, in the order of the file.

    ``.npy`` and ``.npz`` hold one array (N, C), or x, y, z and intensity by name; ``.pcd``, ``.ply``, ``.las`` and
    ``.laz`` have named fields. Everything else is read as bare numbers.

    Args:
        path: Of the file; its ending decides about the format.
        content: Of the file: bytes, or whatever offers them as a buffer.
        layout: Of the numbers.
        columns: Those in use, whose numbers are looked at.

    Returns:
        (N, C) float32: x, y, z and intensity if there is one; where nothing has a name, all columns of the file.
        Points without return (NaN or zeros) are still among them.

    Raises:
        DataError: The file is damaged, is not what its name and ``layout`` say, or holds numbers that no LiDAR gives.
        DependencyError: The package that reads this format is not installed.
    """
    points = read_cloud_values(path, content, layout).astype(np.float32, copy=False)
    bare = _suffix(path) not in _READERS
    problem = problem_of(points, columns, layout_known=not bare)
    if problem and bare:
        raise DataError(f'{path}: read as {layout.dtype} with {points.shape[1]} values per point, {problem}, which '
                        f'no LiDAR gives. {_advice(content, layout, problem)}')
    if problem:
        raise DataError(f'{path}: {problem}, which no LiDAR gives. {_WANTED}')
    return points


def read_cloud_values(path: str, content: bytes, layout: CloudLayout = CloudLayout()) -> np.ndarray:
    """As ``read_cloud``, but of the type that the file has, and whatever its numbers are.

    For clouds in map coordinates or in another unit than metres.
    """
    refuse_lfs_pointer(path, content[:200])
    suffix = _suffix(path)
    if suffix not in _READERS:
        return _read_numbers(path, content, layout)
    try:
        points = _READERS[suffix](path, bytes(content))
    except SimIPUError:
        raise
    except Exception as error:  # of any library
        raise DataError(f'{path}: cannot be read as {suffix} file ({type(error).__name__}: {shown(str(error))}); '
                        'copy it again, or write it anew') from error
    if points.dtype.kind not in _NUMBERS or len(points) == 0:
        found = f'values of type {points.dtype}' if len(points) else 'no points'
        raise DataError(f'{path}: expected numbers, found {found}; write it anew, or take the frame off the list')
    if layout.width not in (None, points.shape[1]):
        raise DataError(f'{path}: {points.shape[1]} values per point, but {layout.width} were expected. Correct '
                        f'that: num_pts_feats={points.shape[1]} in lidar_points of your frames; where they do not say '
                        f'it, --cfg-options load_points.load_dim={points.shape[1]}')
    return points


def _suffix(path: str) -> str:
    return os.path.splitext(path)[1].lower()


def check_cloud_file(path: str, layout: CloudLayout = CloudLayout()) -> int:
    """The values per point of a file on disk, after a look at a sample of its numbers.

    Raises:
        DataError, DependencyError: As ``read_cloud``.
    """
    with open_regular(path) as file:
        is_empty = file.seek(0, os.SEEK_END) == 0
        content = b'' if is_empty else np.memmap(file, np.uint8, mode='r')
        return read_cloud(path, content, layout).shape[1]


def drop_no_returns(points: np.ndarray) -> tuple[np.ndarray, int]:
    """Leave out the points that LiDARs and drivers write for beams without return: NaN, or x = y = z = 0.

    Returns:
        The others (the array itself if nothing is left out), and how many were left out.
    """
    bad = np.zeros(len(points), bool)
    if not np.isfinite(points.sum()):
        bad = ~np.isfinite(points).all(axis=1)
    suspects = np.flatnonzero(points[:, 0] == 0)
    bad[suspects] |= (points[suspects, :3] == 0).all(axis=1)
    num_bad = np.count_nonzero(bad)
    return (points[~bad], num_bad) if num_bad else (points, 0)


def _read_numbers(path: str, content: bytes, layout: CloudLayout) -> np.ndarray:
    start = bytes(content[:32])
    width, dtype = layout.width or DEFAULT_WIDTH, _number_type(path, layout.dtype)
    for signature, (kind, remedy) in _SIGNATURES.items():
        if start.startswith(signature):
            raise DataError(f'{path}: expected bare numbers, but it begins as {kind} does; '
                            f'{remedy.format(width=width)}')
    if len(start) == 32 and all(byte in _TEXT for byte in start):
        raise DataError(f'{path}: expected bare numbers, but it is text, {_text_advice(bytes(content[:500]), width)}')
    size = width * dtype.itemsize
    if len(content) == 0 or len(content) % size:
        raise DataError(f'{path}: {len(content)} bytes; expected a positive multiple of {size} ({width} {layout.dtype} '
                        'values a point). The file is empty or truncated, or has another layout. '
                        f'{_advice(content, layout)}')
    return np.frombuffer(content, dtype).reshape(-1, width)


def _number_type(path: str, name: str) -> np.dtype:
    try:
        dtype = np.dtype(name)
    except Exception:  # NumPy parses it, as a record or an expression too
        dtype = None
    if dtype is None or dtype.kind not in _NUMBERS or dtype.itemsize == 1:
        raise DataError(f"{path}: dtype={name!r} is no type of coordinates; expected one of NumPy's, such as "
                        "'float32' or 'float64'")
    return dtype


def _advice(content: bytes, layout: CloudLayout, problem: str = '') -> str:
    """What a file of bare numbers, which cannot be read as these, seems to hold, and how to read it."""
    wanted = layout.width or DEFAULT_WIDTH
    if problem == STORED_BY_COLUMN:
        return f'Write it anew: {_write(f"{_load(layout.dtype)}.reshape({wanted}, -1).T", wanted, wanted)}'
    guess = guess_layout(content) if len(content) else None
    if guess is None or guess == (np.dtype(layout.dtype).str, wanted):
        return f'{_WANTED} (or copy it again)'
    dtype, width = guess
    name = np.dtype(dtype).name + (' (big-endian)' if dtype[0] == '>' else '')
    found = f'It seems to hold {name} with {width} values per point. '
    state = (f"tate that layout: num_pts_feats={width} and dtype='{dtype}' in lidar_points of your frames; where they "
             f"do not say it, --cfg-options load_points.load_dim={width} load_points.dtype='{dtype}'")
    if width < wanted > DEFAULT_WIDTH:
        return f'{found}S{state}'
    added = ', with 0 for what it lacks' if width < wanted else ''
    return f'{found}Write it anew{added}: {_write(f"{_load(dtype)}.reshape(-1, {width})", width, wanted)}. Or s{state}'


def _load(dtype: str) -> str:
    return f"numpy.fromfile(f, '{dtype}')"


def _write(array: str, columns: int, wanted: int) -> str:
    """A line of Python that writes the points ``array`` to the file f, with as many values per point as wanted."""
    if columns > wanted:
        array = f'{array}[:, :{wanted}]'
    elif columns < wanted:
        array = f'numpy.pad({array}, ((0, 0), (0, {wanted - columns})))'
    return f"{array}.astype('float32').tofile(f)"


def _text_advice(start: bytes, wanted: int) -> str:
    """The first line of numbers in a text, and how to write all of them."""
    lines = start.decode(errors='replace').split('\n')
    num_headers = next((number for number, line in enumerate(lines) if re.match(r'\s*[-+.\d]', line)), 0)
    line = lines[num_headers].strip()
    delimiter = next((f", delimiter='{mark}'" for mark in ',;' if mark in line), '')
    columns = len(re.split('[,;]' if delimiter else r'\s+', line))
    skipped = f', skiprows={num_headers}' if num_headers else ''
    return f"'{line:.32}'; write it anew: {_write(f'numpy.loadtxt(f{delimiter}{skipped})', columns, wanted)}"


def _read_npy(path: str, content: bytes) -> np.ndarray:
    return _from_array(path, np.load(BytesIO(content), allow_pickle=False))


def _read_npz(path: str, content: bytes) -> np.ndarray:
    with np.load(BytesIO(content), allow_pickle=False) as arrays:
        unpacked = sum(entry.file_size for entry in arrays.zip.infolist())
        if unpacked > MAX_UNPACKED:
            raise DataError(f'{path}: it would unpack to {unpacked / 1e9:.3g} GB; expected at most '
                            f'{MAX_UNPACKED / 1e9:.3g} GB. Write one file for each cloud')
        if len(arrays.files) == 1:
            return _from_array(path, arrays[arrays.files[0]])
        return _from_fields(path, {name: arrays[name].ravel() for name in arrays.files})


def _from_array(path: str, array: np.ndarray) -> np.ndarray:
    if array.dtype.names:
        return _from_fields(path, {name: array[name].ravel() for name in array.dtype.names})
    if array.ndim != 2 or not 3 <= array.shape[1] <= MAX_WIDTH:
        raise DataError(f'{path}: expected an array (N, C) of N points with 3 to {MAX_WIDTH} values, found the shape '
                        f'{array.shape}; write it anew{_remedy_of_shape(array.shape)}')
    return np.ascontiguousarray(array)


def _remedy_of_shape(shape: tuple[int, ...]) -> str:
    if len(shape) == 2 and 3 <= shape[0] <= MAX_WIDTH:
        return ', transposed (array.T)'
    if len(shape) == 3 and 3 <= shape[2] <= MAX_WIDTH:
        return f', as array.reshape(-1, {shape[2]})'
    return ', with x, y, z and intensity of a point in each row'


def _read_pcd(path: str, content: bytes) -> np.ndarray:
    return _from_fields(path, read_pcd(path, content))


def _read_ply(path: str, content: bytes) -> np.ndarray:
    plyfile = _import('plyfile', 'plyfile', path)
    vertices = plyfile.PlyData.read(BytesIO(content))['vertex']
    return _from_fields(path, {prop.name: vertices[prop.name] for prop in vertices.properties})


def _read_las(path: str, content: bytes) -> np.ndarray:
    laspy = _import('laspy', 'laspy[lazrs]', path)
    _check_las_header(path, content)
    with laspy.open(BytesIO(content)) as file:
        if file.header.are_points_compressed and not laspy.LazBackend.detect_available():
            raise DependencyError(f'{path} is compressed, for which laspy needs lazrs: pip install lazrs')
        points = file.read()
    return _from_fields(path, {'x': points.x, 'y': points.y, 'z': points.z, 'intensity': points.intensity})


def _check_las_header(path: str, content: bytes) -> None:
    """Raise a DataError where a LAS file cannot hold what it claims, which laspy would read for hours."""
    if len(content) < 227:  # bytes of the shortest header
        raise DataError(f'{path}: {len(content)} bytes are no LAS file; copy it again')
    start, first_point, num_records = struct.unpack_from('<HII', content, 94)
    point_size, = struct.unpack_from('<H', content, 105)
    fits = start + 54 * num_records <= first_point <= len(content) and point_size >= 20
    if fits and start >= 375:  # of version 1.4
        first_extended, num_extended = struct.unpack_from('<QI', content, 235)
        fits = not num_extended or first_extended + 60 * num_extended <= len(content)
    if not fits:
        raise DataError(f'{path}: its header claims more than its {len(content)} bytes; it is damaged, copy it again')


def _import(module: str, requirement: str, path: str):
    try:
        return importlib.import_module(module)
    except ImportError:
        raise DependencyError(f'{path} needs the package {module}: pip install "{requirement}"') from None


def _from_fields(path: str, fields: dict[str, np.ndarray]) -> np.ndarray:
    """(N, 3 or 4) of x, y, z and intensity."""
    fields = {name.lower(): values for name, values in fields.items()}
    missing = [name for name in 'xyz' if name not in fields]
    if missing:
        raise DataError(f'{path}: no {", ".join(missing)}; expected x, y, z and, if you have it, intensity; found '
                        f'{", ".join(fields) or "nothing"}. Rename the fields')
    intensity = [name for name in INTENSITY_NAMES if name in fields][:1]
    return np.stack([fields[name] for name in ['x', 'y', 'z', *intensity]], axis=1)


_READERS = {'.npy': _read_npy, '.npz': _read_npz, '.pcd': _read_pcd, '.ply': _read_ply, '.las': _read_las,
            '.laz': _read_las}
