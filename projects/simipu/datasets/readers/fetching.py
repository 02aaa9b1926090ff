"""Bytes of files on the local disk and behind MMEngine's file backends."""
import os

from mmengine.fileio import get

from ...errors import DataError
from ...files import read_bytes, refuse_lfs_pointer, shown


def is_on_disk(path: str, backend_args: dict | None) -> bool:
    """Whether a path is one of the local disk."""
    return backend_args is None and '://' not in path


def fetch(path: str, backend_args: dict | None, where_from: str) -> bytes:
    """The content of a file.

    Args:
        path: Of the file.
        backend_args: MMEngine file backend (local disk if None).
        where_from: Who names the file and what to do if it is missing, for the message.

    Raises:
        DataError: It is missing, no regular file, a Git LFS pointer, or cannot be read.
    """
    if is_on_disk(path, backend_args) and os.path.exists(path):
        return read_bytes(path)
    try:
        content = get(path, backend_args=backend_args)
    except (FileNotFoundError, IsADirectoryError):
        raise DataError(f'no file {shown(path)}, {where_from}') from None
    except Exception as error:  # of any backend
        raise DataError(f'{shown(path)} cannot be read ({shown(str(error))}); check its address, the '
                        'disk or the connection, or copy the file again') from error
    refuse_lfs_pointer(path, content)
    return content
