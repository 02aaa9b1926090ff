"""Calibration files of KITTI's format: a line for each matrix, its name and its numbers."""
import re

import numpy as np

from ...errors import DataError
from ...files import shown
from .common import PathLike, invertible_4x4, require_file
from .text_files import read_text

# Most of KITTI's files have a colon after the name; those of the tracking set lack some.
_NUMBER = re.compile(r'[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?', re.ASCII | re.IGNORECASE)
_NAME_AND_VALUE = re.compile(r'\s*([A-Za-z]\w*)(?:\s*:|\s)\s*(.*)')


def read_key_values(path: PathLike, named_by: str) -> dict[str, str]:
    """Lines ``key: value`` or ``key value`` of a calibration file.

    Raises:
        DataError: The file is missing or no text, or has a key twice.
    """
    require_file(path, named_by)
    values: dict[str, str] = {}
    for line in filter(None, map(_NAME_AND_VALUE.fullmatch, read_text(path).split('\n'))):
        key, value = line[1], line[2].strip()
        if values.setdefault(key, value) != value:
            raise DataError(f'{path}: found {key} twice, with different values; restore the original calibration file')
    return values


def read_numbers(values: dict[str, str], key: str, shape: tuple, path: PathLike) -> np.ndarray:
    """The numbers after a key of ``read_key_values``, as float64 array of that shape.

    Raises:
        DataError: There is no such key, or what follows it are not as many finite numbers; names ``path``.
    """
    if key not in values:
        raise DataError(f'{path}: no {key}; expected a line "{key}:" with {np.prod(shape)} '
                        f'numbers, found {shown(", ".join(values)) or "no keys"}. Restore the original '
                        'calibration file')
    words = values[key].split()
    if not all(map(_NUMBER.fullmatch, words)):  # float() takes more: nan, infinity, 1_000, digits of other scripts
        raise DataError(f'{path}: expected numbers after "{key}:", found "{shown(values[key])}"; '
                        'restore the original calibration file')
    numbers = np.array(words, dtype=float)
    if not np.isfinite(numbers).all():
        raise DataError(f'{path}: {key} holds numbers that are too large, found "{shown(values[key])}"; restore the '
                        'original calibration file')
    if numbers.size != np.prod(shape):
        raise DataError(f'{path}: {key} has {numbers.size} numbers, expected {np.prod(shape)} '
                        f'({" x ".join(map(str, shape))}); restore the original calibration file')
    return numbers.reshape(shape)


def read_matrix(values: dict[str, str], key: str, shape: tuple, path: PathLike) -> np.ndarray:
    """A 3x3 or 3x4 matrix of ``read_key_values`` as an invertible 4x4.

    Raises:
        DataError: It is missing, malformed or singular.
    """
    return invertible_4x4(read_numbers(values, key, shape, path), key, path)
