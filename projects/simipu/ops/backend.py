"""What a point operation runs on: numba on CPU; on CUDA mmcv's operator, else Triton, else plain torch."""
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec

import numba
import numpy as np
import torch
from torch import Tensor

# Element type of every intermediate (centres, points) block of the plain torch operations: they
# work through the centres in chunks so that no block holds more elements than this.
MAX_BLOCK_ELEMENTS = 1 << 26


def choose(tensor: Tensor, *, cpu: Callable, triton: Callable, plain: Callable,
           mmcv: Callable | None = None) -> Callable:
    """The first of an operation's implementations that can work on ``tensor``."""
    if _is_gpu(tensor):
        if mmcv is not None and tensor.dtype == torch.float32 and mmcv_has_cuda_ops():
            return mmcv
        return triton if has_triton() else plain
    on_numba = tensor.device.type == 'cpu' and tensor.dtype in (torch.float32, torch.float64)
    return cpu if on_numba else plain


def _is_gpu(tensor: Tensor) -> bool:
    return tensor.is_cuda


@cache
def has_triton() -> bool:
    """Whether Triton is installed, as it is with every CUDA build of torch, and the GPU is one that it knows.

    Triton 2 of torch 2.1 to 2.3 does not take our kernels.
    """
    if find_spec('triton') is None:
        return False
    import triton
    return int(triton.__version__.split('.')[0]) >= 3 and torch.cuda.get_device_capability() >= (7, 0)


@cache
def mmcv_has_cuda_ops() -> bool:
    """Whether the installed mmcv was compiled with CUDA (a CPU build imports, but cannot run)."""
    from mmcv.ops import get_compiling_cuda_version
    return get_compiling_cuda_version() != 'not available'


def to_numpy(tensor: Tensor) -> np.ndarray:
    """The contiguous array that shares a detached CPU tensor's memory."""
    return tensor.detach().contiguous().numpy()


def at_least_float32(tensor: Tensor) -> Tensor:
    """Half-precision tensors as float32: distances between points need the digits."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def use_torch_threads() -> None:
    """Let numba's parallel loops use as many threads as torch does (``torch.set_num_threads``)."""
    threads = torch.get_num_threads()
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
    if torch.get_num_threads() != threads:
        # Numba starts its pool on first use and sets OpenMP's thread count, which is torch's too.
        torch.set_num_threads(threads)
