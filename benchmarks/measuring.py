"""Time and peak memory of a function, for the benchmarks in this folder."""
import ctypes
import platform
import time
from typing import Callable, NamedTuple

import numba
import torch


class Cost(NamedTuple):
    """Median seconds of a call, and the MB by which memory grew at its peak."""
    seconds: float
    megabytes: float


def measure(function: Callable[[], object], repeats: int = 3) -> Cost:
    """Calls ``function`` once to warm up, then ``repeats`` times."""
    function()
    before = _reset_peak_memory()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return Cost(sorted(seconds)[repeats // 2], _peak_memory() - before)


def print_comparison(name: str, ours: Cost, naive: Cost) -> None:
    """One line: both costs and how many times less time ours takes."""
    print_cost(name, ours, end=' | naive ')
    print_cost('', naive, end=f' | {naive.seconds / ours.seconds:6.1f} x\n')


def print_cost(name: str, cost: Cost, end: str = '\n') -> None:
    """Time and memory in columns."""
    print(f'{name:36s}' if name else '', f'{cost.seconds * 1e3:9.1f} ms {cost.megabytes:7.0f} MB',
          end=end, flush=True)


def print_versions() -> None:
    """What the figures depend on."""
    print(f'{platform.processor() or platform.machine()}, Python {platform.python_version()}, '
          f'torch {torch.__version__}, numba {numba.__version__}, '
          f'{torch.get_num_threads()} thread(s)')


def _reset_peak_memory() -> float:
    """MB in use now, from which :func:`_peak_memory` then counts."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated() / 1e6
    # Linux: return freed memory, then let the peak start again from the present size.
    ctypes.CDLL(None).malloc_trim(0)
    with open('/proc/self/clear_refs', 'w') as file:
        file.write('5')
    return _peak_memory()


def _peak_memory() -> float:
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e6
    with open('/proc/self/status') as file:
        kilobytes = next(line.split()[1] for line in file if line.startswith('VmHWM'))
    return int(kilobytes) / 1e3
