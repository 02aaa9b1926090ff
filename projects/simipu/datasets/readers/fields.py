"""What the fields of a data file must hold, so that the first one that does not is named."""
import math
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from ...errors import DataError
from ...files import shown

MAX_NUMBER = 1e18
"""More than time stamps in microseconds, counts and metres have."""


class Field(NamedTuple):
    """What a field must hold, in words and as a test."""
    words: str
    holds: Callable[[Any], bool]


def is_number(value: Any, low: float = -MAX_NUMBER, high: float = MAX_NUMBER) -> bool:
    """Whether this is a number, Python's or NumPy's, from ``low`` to ``high``, and no truth value."""
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool) and (
        low <= value <= high)


def is_whole(value: Any, low: int, high: int) -> bool:
    """Whether this is such a number without fraction."""
    return is_number(value, low, high) and math.floor(value) == value


def whole(low: int, high: int) -> Field:
    return Field(f'a whole number from {low} to {high}', lambda value: is_whole(value, low, high))


def _has_control_characters(text: str) -> bool:
    """Zero bytes, line breaks, or bytes that are no text; the spaces of all scripts are none of these."""
    return any(unicodedata.category(character) in ('Cc', 'Cs') for character in text)


def has_numbers(value: Any, shape: tuple[int, ...]) -> bool:
    """Whether this is an array, or a sequence, of finite numbers with that shape."""
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, OverflowError, RecursionError):
        return False
    return array.shape == shape and array.dtype.kind in 'iuf' and bool(np.isfinite(array).all())


def numbers(*shape: int) -> Field:
    return Field(f'{" x ".join(map(str, shape))} finite numbers', lambda value: has_numbers(value, shape))


PATH = Field('the path of a file',
             lambda value: isinstance(value, str) and 0 < len(value) < 4096 and not _has_control_characters(value))
NAME = Field('a name or a whole number', lambda value: isinstance(value, str) or is_whole(value, 0, int(MAX_NUMBER)))
NUMBER = Field('a number', is_number)
TIME = Field('a time stamp', is_number)
PIXELS = whole(1, 10 ** 6)
MICROSECONDS = whole(10 ** 15, 10 ** 16)  # since 1970, of the years from 2001 to 2286
FLAG = Field('true or false', lambda value: isinstance(value, (bool, np.bool_)))
MAPPING = Field('a dict', lambda value: isinstance(value, dict))
ITEMS = Field('a list', lambda value: isinstance(value, (list, tuple)))


def check_fields(entry: Any, fields: Mapping[str, Field], where: str, remedy: str, required: bool = False) -> None:
    """Compare the fields of a dict with what they must hold; None counts as not given.

    Args:
        entry: The dict; its other fields do not matter.
        fields: By name.
        where: How to call the dict.
        remedy: What to do about a wrong one.
        required: Whether all of them must be there.

    Raises:
        DataError: It is no dict, or one of the fields holds something else; names it.
    """
    if not isinstance(entry, dict):
        raise DataError(f'{where}: expected a dict, found {shown(entry, 80)}. {remedy}')
    for name, field in fields.items():
        value = entry.get(name)
        if value is None and required:
            found = ', '.join(shown(key, 40) for key in list(entry)[:20]) or 'nothing'
            raise DataError(f'{where}: expected {name} ({field.words}), found {found}. {remedy}')
        if value is not None and not field.holds(value):
            raise DataError(f'{where}: {name}: expected {field.words}, found {shown(value, 80)}. {remedy}')
