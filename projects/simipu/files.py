"""Files: written as a whole or not at all, and read only where they are what they seem."""
import json
import os
import re
import reprlib
import shutil
import stat
from math import isinf
from pathlib import Path
from typing import Any, BinaryIO

from .errors import DISK_FULL, DataError, OutputError

MAX_BYTES = 8 * 2 ** 30
"""Of a file that is read into memory: more than any cloud, table or info file has."""

_KINDS = {stat.S_IFDIR: 'a folder', stat.S_IFIFO: 'a pipe', stat.S_IFSOCK: 'a socket', stat.S_IFCHR: 'a device',
          stat.S_IFBLK: 'a device'}


class _Repr(reprlib.Repr):
    """Looks at the beginning of a value only: one that holds itself or a part many times over has no end."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 3
        self.maxstring = self.maxother = self.maxlong = 60

    def repr_int(self, value: int, level: int) -> str:
        return repr(value) if abs(value) < 10 ** 60 else f'a number of {value.bit_length()} bits'


_REPR = _Repr()


def open_regular(path: str | os.PathLike) -> BinaryIO:
    """Open a regular file for reading; never waits for a pipe or reads a device, which have no end.

    Raises:
        DataError: There is no such file, it is a folder, a pipe or a device, or it cannot be read.
    """
    try:
        # A pipe without writer would be waited for.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise DataError(f'no file {shown(path)}; check the path, or complete the data set') from None
    except (OSError, ValueError) as error:  # of a path with a zero byte
        reason = getattr(error, 'strerror', None) or error
        raise DataError(f'{shown(path)} cannot be read ({reason}); expected a regular file. Check the path, its '
                        'permissions and the disk') from None
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise DataError(f'{shown(path)} is {_KINDS.get(stat.S_IFMT(mode), "something else")}; expected a regular file. '
                        'Copy the original file there')
    return open(descriptor, 'rb')


def read_bytes(path: str | os.PathLike, max_bytes: int = MAX_BYTES) -> bytes:
    """The content of a regular file.

    Raises:
        DataError: As ``open_regular``; or it has more than ``max_bytes``, or is a Git LFS pointer.
    """
    with open_regular(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        if size > max_bytes:
            raise DataError(f'{shown(path)} has {size / 1e9:.3g} GB; expected at most {max_bytes / 1e9:.3g} GB. Check '
                            'that it is the right file')
        try:
            content = stream.read(size)
        except OSError as error:
            raise DataError(f'{shown(path)} cannot be read ({error.strerror}); check the disk, or copy the file '
                            'again') from error
    refuse_lfs_pointer(path, content)
    return content


def read_json(path: str | os.PathLike, expected: str = 'JSON') -> Any:
    """What a JSON file holds.

    Raises:
        DataError: As ``read_bytes``; or it is no JSON, or holds NaN or infinity, which JSON does not have.
    """
    return parse_json(read_bytes(path), shown(path), expected)


def parse_json(content: bytes | str, name: str, expected: str = 'JSON', **options) -> Any:
    """What a text in JSON says.

    Args:
        content: The text.
        name: What to call it in messages.
        expected: What it should be, for messages.
        options: Of ``json.loads``.

    Raises:
        DataError: It is no JSON, or holds NaN or infinity.
    """
    try:
        return json.loads(content, parse_constant=_refuse_constant, parse_float=_finite, **options)
    except (ValueError, RecursionError) as error:
        raise DataError(f'{name}: expected {expected}, but {error}; write it anew, or copy the original file '
                        'again') from None


def refuse_lfs_pointer(path: str | os.PathLike, content: bytes) -> None:
    """Raise a DataError where ``lfs_pointer`` has something to say of the content."""
    pointer = lfs_pointer(bytes(content[:200]))
    if pointer:
        raise DataError(f'{shown(path)} {pointer}')


def shown(value: Any, length: int = 200) -> str:
    """A value as messages show it: on one line, and without its middle where it is longer than ``length``."""
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    text = value if isinstance(value, str) else _REPR.repr(value)
    if len(text) > length:
        text = f'{text[:length // 2]}...{text[-(length // 2):]}'
    return ''.join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def _refuse_constant(name: str) -> None:
    raise ValueError(f'it holds {name}, which is no number')


def _finite(text: str) -> float:
    number = float(text)
    if isinf(number):
        raise ValueError(f'{text[:20]} is too large')
    return number


def write_whole(path: str | os.PathLike, content: bytes) -> None:
    """Write a file, or leave what was there before, even where the machine is switched off meanwhile.

    The folder is created if need be. A process that is killed while it writes leaves ``.NAME.part`` behind, which
    the next one overwrites.

    Raises:
        OutputError: The disk is full, the folder cannot be written to, or ``path`` is there and no file.
    """
    path = Path(path)
    _refuse_another_kind(path, folder=False)  # a device would be replaced by a file
    part = path.with_name(f'.{path.name}.part')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(part, 'wb') as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())  # else the new name may reach the disk before the content
            os.replace(part, path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    except OSError as error:
        folder = path.parent.absolute()
        if is_disk_full(error):
            remedy = f'it needs {len(content) / 1e6:.1f} MB, and {space_left(folder)}'
        else:
            remedy = f'check that {folder} is a folder that you may write to, or choose another'
        raise OutputError(f'{path} cannot be written ({error.strerror}): {remedy}') from error


def is_disk_full(error: OSError) -> bool:
    """Whether a disk or a quota is full."""
    return error.errno in DISK_FULL


def space_left(folder: str | os.PathLike) -> str:
    """The end of a message about a disk that is full."""
    return (f'{shutil.disk_usage(folder).free / 1e6:.1f} MB are free in {folder}. Free some space, or choose a folder '
            'on another disk')


def check_target(path: str | os.PathLike, folder: bool = False) -> None:
    """Find out whether a file, or a folder, could be written, before the work that fills it.

    Raises:
        OutputError: Something of the other kind is there, or it lies in no folder that can be written to.
    """
    path = Path(path).absolute()
    _refuse_another_kind(path, folder)
    nearest = path if path.is_dir() else next(parent for parent in path.parents if parent.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        raise OutputError(f'{path} cannot be written: check that {nearest} is a folder that you may write to, or '
                          'choose another')


def _refuse_another_kind(path: Path, folder: bool) -> None:
    if path.exists() and not (path.is_dir() if folder else path.is_file()):
        found, wanted = _KINDS.get(stat.S_IFMT(path.stat().st_mode), 'a file'), 'folder' if folder else 'file'
        raise OutputError(f'{path} is {found}; choose another name for the {wanted} to write')


def lfs_pointer(content: bytes) -> str | None:
    """What to say of a file that is only the pointer which Git LFS keeps in its place; ``None`` for any other.

    Args:
        content: Of the file, or its first 200 bytes.
    """
    if not content.startswith(b'version https://git-lfs.github.com/spec/'):
        return None
    size = re.search(rb'^size (\d+)$', content, re.MULTILINE)
    wanted = f' of {int(size[1]) / 1e6:.1f} MB' if size else ''
    return f'is a pointer of Git LFS, not the file{wanted} that it stands for; in its clone run: git lfs pull'
