"""Files: written as a whole or not at all, and read only where they are what they seem."""
import os
import re
import shutil
from pathlib import Path

from .errors import DISK_FULL, OutputError


def write_whole(path: str | os.PathLike, content: bytes) -> None:
    """Write a file, or leave what was there before, even where the machine is switched off meanwhile.

    The folder is created if need be. A process that is killed while it writes leaves ``.NAME.part`` behind, which
    the next one overwrites.

    Raises:
        OutputError: The disk is full, the folder cannot be written to, or ``path`` is itself a folder.
    """
    path = Path(path)
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
    if path.exists() and path.is_dir() != folder:
        found, wanted = ('file', 'folder') if folder else ('folder', 'file')
        raise OutputError(f'{path} is a {found}; choose another name for the {wanted} to write')
    nearest = path if path.is_dir() else next(parent for parent in path.parents if parent.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        raise OutputError(f'{path} cannot be written: check that {nearest} is a folder that you may write to, or '
                          'choose another')


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
