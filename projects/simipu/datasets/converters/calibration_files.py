"""Calibration files of KITTI's format: a line for each matrix, its name and its numbers."""
import re

import numpy as np

from ...errors import DataError
from .common import PathLike, invertible_4x4, require_file
from .text_files import read_text

# Most of KITTI's files have a colon after the name; those of the tracking set lack some.
_NAME_AND_VALUE = re.compile(r'\s*([A-Za-z]\w*)(?:\s*:|\s)\s*(.*)')


def read_key_values(path: PathLike, named_by: str) -> dict[str, str]:
    """Lines ``key: value`` or ``key value`` of a calibration file.

    Raises:
        DataError: The file is missing or no text.
    """
    require_file(path, named_by)
    lines = map(_NAME_AND_VALUE.fullmatch, read_text(path).split('\n'))
    return {line[1]: line[2].strip() for line in lines if line}


def read_numbers(values: dict[str, str], key: str, shape: tuple, path: PathLike) -> np.ndarray:
    """The numbers after a key of ``read_key_values``, as float64 array of that shape.

    Raises:
        DataError: There is no such key, or what follows it are not as many numbers; names ``path``.
    """
    if key not in values:
        raise DataError(f'{path}: no {key}; expected a line "{key}:" with {np.prod(shape)} '
                        f'numbers, found {", ".join(values) or "no keys"}. Restore the original '
                        'calibration file')
    try:
        numbers = np.array([float(number) for number in values[key].split()])
    except ValueError:
        raise DataError(f'{path}: expected numbers after "{key}:", found "{values[key]}"; '
                        'restore the original calibration file') from None
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
