"""Pickles of info files, read without running code: containers, numbers, texts and NumPy arrays only."""
import codecs
import io
import pickle
import re
from collections import OrderedDict, defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import DataError

_ARRAY = 'numpy.ndarray'
_TYPE_CODE = re.compile(r'[<>|=]?[biufSUO?]\d{0,9}')


def _empty_array(*_) -> np.ndarray:
    """NumPy's ``_reconstruct``, whose arguments are those of an empty array; its state follows."""
    return np.ndarray.__new__(np.ndarray, (0, ), 'b')


def _array(buffer: bytes, dtype: np.dtype, shape: tuple[int, ...], order: str) -> np.ndarray:
    """NumPy's ``_frombuffer``."""
    return np.frombuffer(buffer, dtype).reshape(shape, order=order)


def _dtype(code: str, *_) -> np.dtype:
    """Numbers, texts and objects only; records and dates are met in no info file."""
    if not isinstance(code, str) or not _TYPE_CODE.fullmatch(code):
        raise pickle.UnpicklingError('it holds arrays of a type that is neither number nor text')
    return np.dtype(code, copy=True)  # its byte order is set next, and NumPy shares one object of each type


def _scalar(dtype: np.dtype, content: bytes) -> np.generic:
    """NumPy's ``scalar``."""
    return np.frombuffer(content, dtype, 1)[0]


def _latin_bytes(text: str, encoding: str = 'latin1') -> bytes:
    """How protocols before 3 write bytes: ``_codecs.encode(text, 'latin1')``."""
    if encoding != 'latin1':
        raise pickle.UnpicklingError(f'it holds text in the encoding {encoding!r:.20}')
    return codecs.encode(text, 'latin1')


def _no_bytes() -> bytes:
    """How they write empty bytes: ``bytes()``."""
    return b''


# What NumPy and Python write for arrays, numbers and containers, under the module names of NumPy 1 and 2 and of Python
# 2 and 3, and what stands in for it.
_STAND_INS = {
    **{(f'numpy.{core}.multiarray', name): stand_in for core in ('core', '_core')
       for name, stand_in in (('_reconstruct', _empty_array), ('scalar', _scalar))},
    ('numpy.core.numeric', '_frombuffer'): _array, ('numpy._core.numeric', '_frombuffer'): _array,
    ('numpy', 'ndarray'): _ARRAY, ('numpy', 'dtype'): _dtype, ('_codecs', 'encode'): _latin_bytes,
    ('collections', 'OrderedDict'): OrderedDict, ('collections', 'defaultdict'): defaultdict,
    **{(module, kind.__name__): stand_in for module in ('builtins', '__builtin__')
       for kind, stand_in in ((bytes, _no_bytes), (set, set), (frozenset, frozenset), (dict, dict), (list, list))},
}


class _Unpickler(pickle.Unpickler):

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _STAND_INS:
            raise pickle.UnpicklingError(f'it holds a {module}.{name}, which could run code'[:200])
        return _STAND_INS[module, name]


def load_pickle(content: bytes, path: str | Path) -> Any:
    """What a pickle of plain data holds.

    Args:
        content: Of the file.
        path: Of the file, for the message.

    Raises:
        DataError: It is no pickle, is cut short, or holds anything else than data.
    """
    try:
        return _Unpickler(io.BytesIO(content)).load()
    except Exception as error:  # any, from the constructors of what it holds
        reason = ' '.join(str(error).split())[:200] or 'it ends early'
        raise DataError(f'{path}: expected a pickle of dicts, lists, numbers, texts and NumPy arrays, but {reason}; '
                        'write the file again') from None
