"""A work dir belongs to one training at a time."""
import json
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import ConfigError, DataError, summary
from ..files import read_json, write_whole

INTERRUPTED = 'interrupted.pth'  # the checkpoint of a training that was told to stop

_LOCK = 'training.lock'
_CHECKPOINT = re.compile(r'(?:epoch|iter)_(\d+)')


def numbered_checkpoints(work_dir: str | Path) -> dict[Path, int]:
    """The checkpoints of a training: ``epoch_N.pth`` and ``iter_N.pth`` with their N, ``interrupted.pth`` with 0."""
    numbers = {path: _CHECKPOINT.fullmatch(path.stem) for path in Path(work_dir).glob('*.pth')}
    numbered = {path: int(match[1]) for path, match in numbers.items() if match}
    interrupted = Path(work_dir, INTERRUPTED)
    return {interrupted: 0, **numbered} if interrupted.is_file() else numbered


def check_no_training_inside(work_dir: str | Path) -> None:
    """Refuse to begin anew where that would overwrite the checkpoints of another training.

    Raises:
        ConfigError: The work dir holds checkpoints.
    """
    numbers = numbered_checkpoints(work_dir)
    if numbers:
        newest = max(numbers, key=numbers.get)
        raise ConfigError(f'{work_dir} holds {len(numbers)} checkpoint(s) of an earlier training, up to {newest.name}, '
                          'which a new one would overwrite. Go on from it with --resume, or begin anew in another '
                          'folder with --work-dir NEW')


@contextmanager
def locked(work_dir: str | Path) -> Iterator[None]:
    """Keep other trainings out of a work dir meanwhile, by a file that names this process.

    The lock of a process that was killed is taken over, and that is printed, where the process ran on this host; from
    another host nobody can tell.

    Raises:
        ConfigError: Another training writes to it.
        OutputError: The folder cannot be written to.
    """
    lock = Path(work_dir) / _LOCK
    if lock.exists():
        _take_over(lock)
    write_whole(lock, json.dumps(dict(host=socket.gethostname(), pid=os.getpid())).encode())
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)


def _take_over(lock: Path) -> None:
    host, pid = _owner(lock)
    here = host == socket.gethostname()
    if here and not _is_running(pid):
        print(f'{lock}: process {pid} of this host, which trained here, is gone; its lock is taken over')
        return
    remedy = 'wait for it or stop it' if here else 'if that process is gone, delete this file'
    raise ConfigError(f'{lock}: process {pid} on host {host} trains in this folder; {remedy}, or choose another folder '
                      'with --work-dir')


def _owner(lock: Path) -> tuple[str, int]:
    """Host and process that a lock names."""
    try:
        owner = read_json(lock)
        return str(owner['host']), int(owner['pid'])
    except (DataError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(f'{lock}: expected the host and process of a training ({summary(error)}); if none runs in '
                          'this folder, delete this file') from None


def _is_running(pid: int) -> bool:
    if pid == os.getpid():  # of an earlier container of the same name, where numbers begin anew
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # of another user
        return True
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    """Whether it ended, and its parent has not asked how; in a container, that of an orphan may never ask."""
    try:
        return Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0] == 'Z'
    except OSError:  # not on Linux
        return False
