"""PCD files, the format of the Point Cloud Library, read as its specification has them.

No well-kept library reads all that is met: fields with several values in compressed files, padding fields, headers
without COUNT or POINTS.
"""
import numpy as np

from ...errors import DataError
from ...files import shown
from ...jit import njit

_TYPES = {'F': 'f', 'U': 'u', 'I': 'i'}


def read_pcd(path: str, content: bytes) -> dict[str, np.ndarray]:
    """The fields of a PCD file (ascii, binary or binary_compressed), (N, ) or (N, COUNT) each.

    Padding (fields named ``_``) is left out.

    Raises:
        DataError: The header is malformed, or the file ends early.
    """
    header, body = _split(path, content)
    try:
        fields = header['FIELDS']
        counts = [int(count) for count in header.get('COUNT', ['1'] * len(fields))]
        types = [np.dtype(f'<{_TYPES[kind]}{size}')
                 for kind, size in zip(header['TYPE'], header['SIZE'], strict=True)]
        if 'POINTS' in header:
            num_points = int(header['POINTS'][0])
        else:
            num_points = int(header['WIDTH'][0]) * int(header['HEIGHT'][0])
        if num_points < 1 or min(counts) < 1:
            raise ValueError(f'{num_points} points, {min(counts)} values in a field')
        layout = list(zip(fields, types, counts, strict=True))
        read = {'ascii': _ascii, 'binary': _binary, 'binary_compressed': _compressed}[header['DATA'][0]]
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise DataError(f'{path}: malformed PCD header ({shown(repr(error))}); expected the lines VERSION, FIELDS, '
                        'SIZE, TYPE, COUNT, WIDTH, HEIGHT, VIEWPOINT, POINTS and DATA. Write the file anew') from None
    try:
        values = read(body, layout, num_points)
    except ValueError as error:
        raise DataError(f'{path}: the header says {num_points} points, but the file does not hold as many '
                        f'({shown(str(error), 80)}); it is damaged. Copy it again') from None
    return {name: columns for (name, *_), columns in zip(layout, values) if name != '_'}


def _split(path: str, content: bytes) -> tuple[dict[str, list[str]], bytes]:
    """The header by its keywords, and what follows the line DATA."""
    header, start = {}, 0
    while 'DATA' not in header:
        end = content.find(b'\n', start)
        if end < 0:
            raise DataError(f'{path}: expected a PCD header, but there is no line DATA. Copy the file again, or write '
                            'it anew')
        keyword, *values = content[start:end].decode('ascii', 'replace').split() or ['#']
        header[keyword] = values
        start = end + 1
    return header, content[start:]


def _ascii(body: bytes, layout: list, num_points: int) -> list[np.ndarray]:
    numbers = np.array(body.split(), dtype=np.float64).reshape(num_points, -1)
    columns = np.split(numbers, np.cumsum([count for *_, count in layout]), axis=1)
    if columns.pop().size:
        raise ValueError(f'{numbers.shape[1]} numbers in a line')
    return [_squeeze(column, count) for column, (*_, count) in zip(columns, layout, strict=True)]


def _binary(body: bytes, layout: list, num_points: int) -> list[np.ndarray]:
    """One record per point. Field names may repeat, as that of padding does."""
    record = np.dtype([(str(number), kind, (count, )) for number, (_, kind, count) in enumerate(layout)])
    held = len(body) // record.itemsize
    if held != num_points:
        raise ValueError(f'it holds {held}')
    points = np.frombuffer(body, record, num_points)
    return [_squeeze(points[str(number)], count) for number, (*_, count) in enumerate(layout)]


def _compressed(body: bytes, layout: list, num_points: int) -> list[np.ndarray]:
    """One block per field, compressed together by LZF."""
    sizes = np.frombuffer(body, '<u4', 2)
    packed = np.frombuffer(body, np.uint8, sizes[0], offset=8)
    planes = np.zeros(sizes[1], np.uint8)
    if _decompress_lzf(packed, planes) != len(planes):
        raise ValueError('the compressed data are damaged')
    columns, offset = [], 0
    for _, kind, count in layout:
        columns.append(_squeeze(np.frombuffer(planes, kind, num_points * count, offset).reshape(-1, count), count))
        offset += columns[-1].nbytes
    return columns


def _squeeze(values: np.ndarray, count: int) -> np.ndarray:
    return values[:, 0] if count == 1 else values


@njit
def _decompress_lzf(packed: np.ndarray, out: np.ndarray) -> int:
    """Fill ``out``; returns how many bytes there were, or -1 if they do not fit."""
    i = o = 0
    while i < len(packed):
        control = packed[i]
        i += 1
        if control < 32:  # a run of literal bytes
            length = control + 1
            if i + length > len(packed) or o + length > len(out):
                return -1
            out[o:o + length] = packed[i:i + length]
            i += length
        else:  # a copy of earlier output, which may overlap its own end
            length = control >> 5
            if length == 7:
                if i >= len(packed):
                    return -1
                length += packed[i]
                i += 1
            if i >= len(packed):
                return -1
            source = o - ((control & 31) << 8) - packed[i] - 1
            i += 1
            length += 2
            if source < 0 or o + length > len(out):
                return -1
            for k in range(length):
                out[o + k] = out[source + k]
        o += length
    return o
