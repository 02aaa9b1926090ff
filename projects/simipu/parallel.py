"""Work dealt out to processes."""
import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from .errors import ProcessError


def map_processes(work: Callable[[Any], Any], jobs: Iterable, num_workers: int,
                  initializer: Callable[[], None] | None = None) -> Iterator[Any]:
    """Results of ``work(job)`` in the order in which they come.

    An error in a process arrives here; jobs that have begun by then are finished, others are dropped. No process is
    ever killed: one that holds the lock of a queue would leave the others, and this one, waiting for good.

    Args:
        work: A function (or ``functools.partial``) of a module.
        jobs: Picklable.
        num_workers: Processes.
        initializer: Called in each process first.

    Raises:
        ProcessError: A process was killed, as the system does where memory ends.
    """
    # Forked processes inherit compiled code and need not import the package again.
    method = 'fork' if 'fork' in multiprocessing.get_all_start_methods() else None
    with ProcessPoolExecutor(num_workers, multiprocessing.get_context(method), initializer) as pool:
        futures = [pool.submit(work, job) for job in jobs]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BrokenProcessPool:
            raise ProcessError(f'one of {num_workers} processes was killed, as happens where memory ends; what was '
                               'finished is kept: call it again with fewer, such as --num-workers 1') from None
        finally:  # only the first call of shutdown waits
            pool.shutdown(wait=True, cancel_futures=True)
