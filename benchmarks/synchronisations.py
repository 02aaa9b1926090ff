"""Where code makes the host wait for the device: every synchronisation, with the line of ours that asks for it.

Counted on any device, a CPU too, from what torch is called with: values that Python reads (``item``, ``bool``,
``tolist``, ``cpu``), results whose size depends on values (``nonzero``, boolean indices, ``unique``, ...), and numbers
that are copied to the device from unpinned memory (``tensor``, ``new_tensor``). Not seen are ``to(device)`` and what a
GPU's own kernels do.
"""
import traceback
from collections import Counter
from pathlib import Path

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

import simipu

PACKAGE = str(Path(simipu.__file__).parent)
aten = torch.ops.aten
SIZED_BY_VALUES = {
    aten._local_scalar_dense.default, aten.nonzero.default, aten.masked_select.default, aten._unique2.default,
    aten.unique_consecutive.default, aten.unique_dim.default, aten.bincount.default, aten.equal.default,
    aten.is_nonzero.default, aten.linalg_inv_ex.default,
}
# What does not reach the dispatcher on a CPU.
READ_OR_COPIED = {Tensor.tolist, Tensor.numpy, Tensor.cpu, Tensor.new_tensor, Tensor.__array__}
# Code that a GPU does not run, that is not ours, or that reads numbers on the CPU (step counts of optimizers): what
# the file or the function has in its name.
LEFT_OUT = ('numba', '/ops/backend.py:to_numpy', '/spconv/', '/torch/optim/')


class Synchronisations(Counter):
    """Inside ``with``, counts synchronisations by ``(file:line, name of the operation)``."""

    def __enter__(self) -> 'Synchronisations':
        self._modes = _Calls(self), _Operations(self)
        for mode in self._modes:
            mode.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        for mode in reversed(self._modes):
            mode.__exit__(*error)

    def add(self, operation: str) -> None:
        frames = traceback.extract_stack()
        if not any(part in f'{frame.filename}:{frame.name}' for frame in frames for part in LEFT_OUT):
            ours = [frame for frame in frames if frame.filename.startswith(PACKAGE)]
            place = f'{Path(ours[-1].filename).relative_to(PACKAGE)}:{ours[-1].lineno}' if ours else 'elsewhere'
            self[place, operation] += 1


class _Calls(TorchFunctionMode):
    """Sees what is called from Python."""

    def __init__(self, found: Synchronisations) -> None:
        super().__init__()
        self.found = found

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function in READ_OR_COPIED or function is torch.tensor:
            self.found.add(function.__name__)
        return function(*args, **kwargs or {})


class _Operations(TorchDispatchMode):
    """Sees what torch runs, the backward pass included."""

    def __init__(self, found: Synchronisations) -> None:
        super().__init__()
        self.found = found

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        if operation in SIZED_BY_VALUES or _has_boolean_index(operation, args):
            self.found.add(operation.__name__)
        return operation(*args, **kwargs or {})


def _has_boolean_index(operation, args: tuple) -> bool:
    if operation.overloadpacket not in (aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_):
        return operation is aten.repeat_interleave.Tensor
    return any(index is not None and index.dtype in (torch.bool, torch.uint8) for index in args[1])
