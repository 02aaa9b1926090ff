"""Progress of long work: a bar on a terminal, a line every few seconds in a log."""
import sys
import time
from typing import TextIO

import mmengine

SECONDS_BETWEEN_LINES = 10


class Progress:
    """Counts what is done and shows it.

    Args:
        total: Number of steps.
        file: Where to write. None: standard output.
    """

    def __init__(self, total: int, file: TextIO | None = None) -> None:
        self.total = total
        self.done = 0
        self.file = sys.stdout if file is None else file
        self.started = self.last_line = time.monotonic()
        self.bar = mmengine.ProgressBar(total, file=self.file) if self.file.isatty() else None

    def update(self, steps: int = 1) -> None:
        """Add steps that are done."""
        self.done += steps
        if self.bar:
            self.bar.update(steps)
        elif time.monotonic() - self.last_line >= SECONDS_BETWEEN_LINES:
            self._write_line()

    def close(self) -> None:
        """End the bar's line, or write the last line."""
        if self.bar:
            print(file=self.file)
        else:
            self._write_line()

    def _write_line(self) -> None:
        self.last_line = time.monotonic()
        rate = self.done / max(self.last_line - self.started, 1e-3)
        print(f'{self.done} of {self.total} done, {rate:.1f} a second', file=self.file, flush=True)
