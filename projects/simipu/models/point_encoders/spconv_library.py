"""The library of sparse convolutions: whichever of spconv's builds and spconv-triton is installed."""
import sys
from importlib import import_module
from typing import Any

from torch import Tensor

from ...errors import DependencyError


def _first_installed(*names: str) -> Any:
    for name in names:
        try:
            return import_module(name)
        except ImportError:
            pass
    return None


# spconv-cu120, spconv-cu126 and spconv (without CUDA) are one module; spconv-triton is another of the same interface.
spconv = _first_installed('spconv.pytorch', 'spconv_triton.pytorch')
_NEEDS_GPU = spconv is not None and spconv.__name__.startswith('spconv_triton')
_BUILD = 'spconv-cu120' if sys.version_info < (3, 12) else 'spconv-cu126'


def check_installed(user: str) -> None:
    """Tell how to get sparse convolutions where there are none.

    Raises:
        DependencyError: Neither spconv nor spconv-triton is installed.
    """
    if spconv is None:
        raise DependencyError(
            f'{user} needs spconv. On Python {sys.version_info[0]}.{sys.version_info[1]}: pip install {_BUILD} (for '
            'CPUs and NVIDIA GPUs), spconv (CPUs alone) or spconv-triton (GPUs alone); or do without, by the '
            'PointNet2Encoder of configs/simipu_r50-pointnet2_8xb4-100e_kitti.py')


def use_best_algorithm(layers: Any, points: Tensor) -> None:
    """Have sparse convolutions compute by what is fastest where ``points`` are; weights are the same for all.

    On a CPU spconv has the native algorithm alone. On a GPU this is the implicit GEMM that spconv takes by itself; on
    an H100 it was the fastest of three (docs/benchmarks.md).

    Raises:
        DependencyError: The installed library does not compute there.
    """
    if not points.is_cuda and _NEEDS_GPU:
        raise DependencyError(f'spconv-triton computes on GPUs alone, and the points are on {points.device}: '
                              f'pip install {_BUILD}, which takes its place on CPUs too')
    if points.is_cuda and not _NEEDS_GPU and _is_cpu_build():
        raise DependencyError('the spconv installed here computes on CPUs alone, and the points are on '
                              f'{points.device}: pip uninstall spconv, then pip install {_BUILD} or spconv-triton')
    algorithm = spconv.ConvAlgo.MaskImplicitGemm if points.is_cuda else spconv.ConvAlgo.Native
    for layer in layers.modules():
        if hasattr(layer, 'algo'):
            layer.algo = algorithm


def _is_cpu_build() -> bool:
    from spconv.cppconstants import CPU_ONLY_BUILD
    return CPU_ONLY_BUILD


if spconv is not None and not _NEEDS_GPU and _is_cpu_build():
    # Its backward pass (2.3.8) asks for CUDA's stream, though it makes no use of it, and fails where there is no GPU.
    import_module('spconv.pytorch.ops').get_current_stream = lambda: 0
