"""A training that is told to stop loses nothing but the step under way."""
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

import torch
from mmdet3d.registry import HOOKS
from mmengine.dist import all_reduce, get_world_size, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ..errors import TrainingError
from ..files import write_whole
from .processes import SIGNALS, part_from_others
from .work_dir import INTERRUPTED

EXIT_CODE = os.EX_TEMPFAIL  # 75: to be tried again

_ONE_EVENT = 1.0  # seconds: torchrun signals processes more than once, and a terminal these and torchrun


@HOOKS.register_module()
class StopHook(Hook):
    """On SIGTERM, SIGINT (Ctrl-C) or SIGHUP finishes the step, saves ``interrupted.pth``, and exits with code 75.

    ``--resume`` goes on from that checkpoint; a later interruption replaces it. A second signal, more than a second
    after the first, stops the process at once. Of several processes all stop after the same step, if one of
    them gets a signal. A validation under way is finished first. Workers of data loaders must outlive the signal where
    all processes get it, see ``keep_workers_through_signals``.
    """

    priority = 'LOWEST'  # after all else that belongs to the step

    def __init__(self) -> None:
        # Not in before_train, as loading data and building the loop before it can take minutes.
        self._owner = os.getpid()
        self._first: float | None = None  # when a signal came
        self._before = {number: signal.signal(number, self._handle) for number in SIGNALS}

    def after_train_iter(self, runner: Runner, batch_idx: int,
                         data_batch: Sequence[dict] | None = None,
                         outputs: dict | None = None) -> None:
        """Save and exit where a signal came."""
        if not self._is_told_to_stop():
            return
        path = Path(runner.work_dir, INTERRUPTED)
        error = _save(runner, path)
        if get_world_size() > 1:  # torchrun sends SIGTERM to the others as soon as one exits
            self._before = dict.fromkeys(SIGNALS, signal.SIG_IGN)
            self.restore()
        failed = torch.tensor(int(error is not None))
        all_reduce(failed, 'max')
        if error is not None:
            raise error
        if failed:
            raise TrainingError('stopped by a signal; another process could not save, and says why')
        runner.logger.info(f'Stopped by a signal after iteration {runner.iter + 1}, saved as {path}; --resume goes on')
        part_from_others()
        raise SystemExit(EXIT_CODE)

    def restore(self) -> None:
        """Leave signals to whom they were before; for the end of the training, however it ends."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._owner:  # forked from the training, such as the workers of a pool or a loader
            if number == signal.SIGTERM:
                _act_by_default(number)
            return
        now = time.monotonic()
        if self._first is None:
            self._first = now
        elif now - self._first > _ONE_EVENT:
            _act_by_default(number)

    def _is_told_to_stop(self) -> bool:
        if get_world_size() == 1:
            return self._first is not None
        told = torch.tensor(int(self._first is not None))
        all_reduce(told, 'max')
        return bool(told)


def _save(runner: Runner, path: Path) -> Exception | None:
    """Save, and return what went wrong: the other processes wait to be told."""
    try:
        runner.save_checkpoint(path.parent, path.name, by_epoch=False)
        if is_main_process():
            write_whole(path.with_name('last_checkpoint'), str(path).encode())
    except Exception as error:
        return error
    return None


def _act_by_default(number: int) -> None:
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
