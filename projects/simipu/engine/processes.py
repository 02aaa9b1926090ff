"""How the processes of a training begin and end together."""
import ctypes
import os
import signal
import sys
from functools import partial
from threading import Thread

from mmengine.runner import Runner
from torch import distributed
from torch.utils.data import DataLoader

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
LAUNCHER = 'SIMIPU_LAUNCHER'  # variable that holds the number of the process that started this one

_PR_SET_PDEATHSIG = 1  # of <sys/prctl.h>
_DistError = getattr(distributed, 'DistError', distributed.DistBackendError)  # torch 2.1 has but the second


def stop_with_launcher() -> None:
    """Have this process told to stop (SIGTERM) when the one that started it ends, however that ends; on Linux only."""
    if sys.platform != 'linux':
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.environ.get(LAUNCHER, str(os.getppid())) != str(os.getppid()):  # it ended before
        os.kill(os.getpid(), signal.SIGTERM)


def keep_workers_through_signals(runner: Runner) -> None:
    """Let the loaders' workers go on where a signal is sent to all processes, as schedulers and terminals do.

    The training itself then finishes its step, for which it may need another batch. Call it before the
    training begins. On Linux only.
    """
    if sys.platform != 'linux':
        return
    build = runner.build_dataloader

    def build_dataloader(*args, **kwargs) -> DataLoader:
        loader = build(*args, **kwargs)
        loader.worker_init_fn = partial(_init_worker, loader.worker_init_fn)
        return loader

    runner.build_dataloader = build_dataloader


def _init_worker(init: partial | None, worker_id: int) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # so that the thread gets them, and with them the sender
    Thread(target=_obey_parent_alone, daemon=True).start()
    if init is not None:
        init(worker_id)


def _obey_parent_alone() -> None:
    """PyTorch ends workers that do not end themselves by SIGTERM; where the parent is gone, they end within 5 s."""
    while signal.sigwaitinfo(SIGNALS).si_pid != os.getppid():
        pass
    os._exit(0)


def part_from_others() -> None:
    """Wait until every process is done, and close the connections to the others, if there are any.

    Threads that still serve connections while the interpreter ends abort the process now and then.
    """
    if distributed.is_available() and distributed.is_initialized():
        distributed.barrier()
        distributed.destroy_process_group()


def is_lost_connection(error: RuntimeError) -> bool:
    """Whether another process of the training does not answer any more."""
    return isinstance(error, _DistError) or 'gloo' in str(error)
