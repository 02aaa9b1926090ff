"""A work dir belongs to one training at a time."""
import json
import os
import re
import socket
import uuid
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
    owner = dict(host=socket.gethostname(), pid=os.getpid(), started=_start_time(os.getpid()))
    _create(lock, json.dumps(owner).encode())
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)


def _create(lock: Path, content: bytes) -> None:
    """Of two processes that want it at the same time, one gets an error; nobody ever sees half of it."""
    own = lock.with_name(f'.{_LOCK}.{uuid.uuid4().hex}')
    write_whole(own, content)
    try:
        os.link(own, lock)
    except FileExistsError:
        raise ConfigError(f'{lock}: another training has just begun in this folder; wait for it or stop it, or choose '
                          'another folder with --work-dir') from None
    except OSError:  # a file system without links
        os.replace(own, lock)
    finally:
        own.unlink(missing_ok=True)


def _take_over(lock: Path) -> None:
    host, pid, started = _owner(lock)
    here = host == socket.gethostname()
    if here and not _is_running(pid, started):
        print(f'{lock}: process {pid} of this host, which trained here, is gone; its lock is taken over')
        lock.unlink(missing_ok=True)
        return
    remedy = 'wait for it or stop it' if here else 'if that process is gone, delete this file'
    raise ConfigError(f'{lock}: process {pid} on host {host} trains in this folder; {remedy}, or choose another folder '
                      'with --work-dir')


def _owner(lock: Path) -> tuple[str, int, int | None]:
    """Host and process that a lock names, and when that began."""
    try:
        owner = read_json(lock)
        return str(owner['host']), int(owner['pid']), owner.get('started')
    except (DataError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(f'{lock}: expected the host and process of a training ({summary(error)}); if none runs in '
                          'this folder, delete this file') from None


def _is_running(pid: int, started: int | None) -> bool:
    if started is not None and _start_time(pid) not in (started, None):  # another process has its number now
        return False
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
    return _status(pid)[:1] == ['Z']


def _start_time(pid: int) -> int | None:
    """Ticks of the clock after the machine's start; None where it cannot be told."""
    status = _status(pid)
    return int(status[19]) if status else None


def _status(pid: int) -> list[str]:
    """What Linux tells of a process, from its state on (proc(5)); nothing elsewhere, or where it is gone."""
    try:
        return Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()
    except OSError:
        return []
