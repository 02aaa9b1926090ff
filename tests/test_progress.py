"""Progress in a terminal and in a log."""
import io

import pytest

from simipu import progress
from simipu.progress import Progress


class Terminal(io.StringIO):

    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch) -> list:
    now = [0.0]
    monkeypatch.setattr(progress.time, 'monotonic', lambda: now[0])
    return now


def test_a_log_gets_a_line_every_ten_seconds_and_one_at_the_end(clock):
    log = io.StringIO()
    shown = Progress(1000, log)
    for second in range(25):
        clock[0] = second
        shown.update(40)
    shown.close()
    assert log.getvalue() == ('440 of 1000 done, 44.0 a second\n840 of 1000 done, 42.0 a second\n'
                              '1000 of 1000 done, 41.7 a second\n')


def test_a_terminal_gets_a_bar():
    terminal = Terminal()
    shown = Progress(3, terminal)
    shown.update(2)
    shown.update()
    shown.close()
    assert '3/3' in terminal.getvalue() and '>>' in terminal.getvalue() and terminal.getvalue().endswith('\n')
