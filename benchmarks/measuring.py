"""Time and peak memory of a function, for the benchmarks in this folder.

With one thread (OMP_NUM_THREADS=1) times are those that the processor spent on this process, so that other
work on the machine counts little.
"""
import ctypes
import platform
import time
from collections.abc import Callable
from statistics import median
from typing import NamedTuple

import numba
import torch


class Cost(NamedTuple):
    """Seconds of a call, and the MB by which memory grew at its peak."""
    seconds: float
    megabytes: float


def measure(function: Callable[[], object], repeats: int = 3) -> Cost:
    """Median cost of ``repeats`` calls, after one to warm up."""
    function()
    return _median_cost([measure_once(function) for _ in range(repeats)])


def measure_once(function: Callable[[], object]) -> Cost:
    before = reset_peak_memory()
    start = clock()
    function()
    return Cost(clock() - start, peak_memory() - before)


def clock() -> float:
    """Seconds from an arbitrary start; waits for the GPU where there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    elif torch.get_num_threads() == 1:
        return time.process_time()
    return time.perf_counter()


def compare(name: str, ours: Callable[[], object], naive: Callable[[], object],
            repeats: int = 1) -> None:
    """Calls both by turns, and prints their costs and how many times less time ours takes.

    By turns, because other work on the machine then slows both down.
    """
    ours()  # to warm up; the naive versions have nothing to compile
    turns = [(measure_once(ours), measure_once(naive)) for _ in range(repeats)]
    our_cost, naive_cost = (_median_cost(column) for column in zip(*turns))
    ratio = median(slow.seconds / fast.seconds for fast, slow in turns)
    print_cost(name, our_cost, end=' | naive ')
    print_cost('', naive_cost, end=f' | {ratio:6.1f} x\n')


def print_cost(name: str, cost: Cost, end: str = '\n') -> None:
    """Time and memory in columns."""
    print(f'{name:36s}' if name else '', f'{cost.seconds * 1e3:9.1f} ms {cost.megabytes:7.0f} MB',
          end=end, flush=True)


def print_versions() -> None:
    """What the figures depend on."""
    print(f'{_processor()}, Python {platform.python_version()}, '
          f'torch {torch.__version__}, numba {numba.__version__}, '
          f'{torch.get_num_threads()} thread(s)', flush=True)


def reset_peak_memory() -> float:
    """MB in use now, from which :func:`peak_memory` then counts."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated() / 1e6
    # Linux: return freed memory, then let the peak start again from the present size.
    ctypes.CDLL(None).malloc_trim(0)
    with open('/proc/self/clear_refs', 'w') as file:
        file.write('5')
    return peak_memory()


def peak_memory() -> float:
    """MB of the whole process, libraries included (on a GPU: of tensors)."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e6
    with open('/proc/self/status') as file:
        kilobytes = next(line.split()[1] for line in file if line.startswith('VmHWM'))
    return int(kilobytes) / 1e3


def _median_cost(costs: list) -> Cost:
    return Cost(*(median(column) for column in zip(*costs)))


def _processor() -> str:
    with open('/proc/cpuinfo') as file:
        names = [line.split(':')[1].strip() for line in file if line.startswith('model name')]
    return names[0] if names else platform.machine()
