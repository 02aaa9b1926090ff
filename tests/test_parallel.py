"""Work dealt out to processes: results, errors, and processes that are killed."""
import os
import signal
import time
from functools import partial
from pathlib import Path

import pytest

from simipu.errors import DataError, ProcessError
from simipu.parallel import map_processes


def square(number):
    return number * number


def fail_at_three(folder, number):
    if number == 3:
        raise DataError('number 3')
    time.sleep(0.05)
    Path(folder, str(number)).touch()


def fail_at_once_or_be_late(folder, number):
    if number == 0:
        raise DataError('number 0')
    time.sleep(0.5)
    Path(folder, str(number)).touch()


def kill_itself(number):
    os.kill(os.getpid(), signal.SIGKILL)


def mark(folder):
    Path(folder, f'{os.getpid()}').touch()


def test_every_result_arrives_once(tmp_path):
    assert sorted(map_processes(square, range(50), 2, partial(mark, tmp_path))) == [n * n for n in range(50)]
    assert len(list(tmp_path.iterdir())) == 2


def test_an_error_arrives_and_what_has_not_begun_is_dropped(tmp_path):
    with pytest.raises(DataError, match='number 3'):
        list(map_processes(partial(fail_at_three, tmp_path), range(1000), 2))
    assert len(list(tmp_path.iterdir())) < 1000


def test_after_an_error_nothing_runs_on(tmp_path):
    with pytest.raises(DataError, match='number 0'):
        list(map_processes(partial(fail_at_once_or_be_late, tmp_path), range(2), 2))
    before = list(tmp_path.iterdir())
    time.sleep(0.8)
    assert list(tmp_path.iterdir()) == before


def test_a_killed_process_is_an_error_and_no_endless_wait():
    with pytest.raises(ProcessError, match='one of 2 processes was killed.*--num-workers 1'):
        list(map_processes(kill_itself, range(4), 2))
