"""Pickles of info files, read without running code: containers, numbers, texts and NumPy arrays only."""
import io
import pickle
from pathlib import Path

from ...errors import DataError

# What NumPy writes for arrays and numbers, under the module names of NumPy 1 and 2.
_NUMPY_MULTIARRAY = ('numpy.core.multiarray', 'numpy._core.multiarray')
_ALLOWED = {
    *((module, name) for module in _NUMPY_MULTIARRAY for name in ('_reconstruct', 'scalar')),
    ('numpy.core.numeric', '_frombuffer'), ('numpy._core.numeric', '_frombuffer'),
    ('numpy', 'ndarray'), ('numpy', 'dtype'), ('_codecs', 'encode'),
    ('collections', 'OrderedDict'), ('collections', 'defaultdict'),
    *((module, name) for module in ('builtins', '__builtin__') for name in (
        'set', 'frozenset', 'slice', 'complex', 'bytes', 'bytearray', 'dict', 'list')),
}


class _Unpickler(pickle.Unpickler):

    def find_class(self, module: str, name: str):
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f'it holds a {module}.{name}, which could run code')
        return super().find_class(module, name)


def load_pickle(content: bytes, path: str | Path):
    """What a pickle of plain data holds.

    Args:
        content: Of the file.
        path: Of the file, for the message.

    Raises:
        DataError: It is no pickle, is cut short, or holds anything else than data.
    """
    try:
        return _Unpickler(io.BytesIO(content)).load()
    except (pickle.UnpicklingError, EOFError, ValueError, KeyError, IndexError, AttributeError, ImportError,
            TypeError) as error:
        raise DataError(f'{path}: expected a pickle of dicts, lists, numbers, texts and NumPy arrays, but '
                        f'{str(error) or "it ends early"}; write the file again') from None
