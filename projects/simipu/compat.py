"""Workarounds for faults of the libraries below, each with its reason and the version it is for.

Every one has a test in ``tests/test_compat.py`` that also shows the fault, and so fails once the
library is mended and the workaround can go.
"""
import codecs
import io
import math
import pickle
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial, wraps
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import IO, Any

import numpy as np
import torch
import yaml
from mmdet3d import registry as registries
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import is_distributed
from mmengine.fileio import BaseStorageBackend, LocalBackend, YamlHandler, register_handler
from mmengine.hooks import CheckpointHook, checkpoint_hook
from mmengine.logging import HistoryBuffer
from mmengine.optim import OptimWrapper
from mmengine.utils import digit_version
from numpy._core import multiarray
from torch import Tensor, nn
from torch._weights_only_unpickler import _get_allowed_globals

from .errors import ConfigError, DependencyError
from .files import write_whole

MAX_YAML_VALUES = 10 ** 6
OWN_CONFIGS = Path(__file__).parent / '.mim' / 'configs'


def register_on_first_use() -> None:
    """Have mmdet3d's registries import our types with their own, when they are first asked for one.

    ``mmdet3d.models`` and ``mmdet3d.datasets``, which our types derive from, import every detector of mmdet
    and mmdet3d, matplotlib and spconv, which takes seconds. Since mmengine 0.8 a registry has a list of modules
    to import on first use, but a registry of another package can be given more of them only by a private name.
    """
    for registry, module in ((registries.MODELS, 'models'), (registries.DATASETS, 'datasets'),
                             (registries.TRANSFORMS, 'datasets'), (registries.METRICS, 'evaluation')):
        module = f'{__package__}.{module}'
        if registry._imported:
            import_module(module)
        else:
            registry._locations.append(module)


def silence_spconv() -> None:
    """Leave out eight warnings of deprecated decorators that spconv 2.3.6 gives with torch 2.4 and newer.

    mmdet3d imports spconv wherever it is installed, so they would open the output of every tool. Call
    it before mmdet3d's models are imported.
    """
    warnings.filterwarnings('ignore', category=FutureWarning, module=r'spconv\.')


def stand_in_for_missing_operators() -> None:
    """Let mmdet and mmdet3d be imported with an mmcv that has no compiled operators (mmcv-lite).

    Both import all of ``mmcv.ops``, which fails without its extension, although pre-training calls none of them.
    Call it before mmdet3d's models are imported.
    """
    if 'mmcv._ext' not in sys.modules and find_spec('mmcv._ext') is None:
        module = _MissingOperators('mmcv._ext')
        module.__spec__ = ModuleSpec('mmcv._ext', loader=None)  # by which mmcv finds out that it has no operators
        sys.modules['mmcv._ext'] = module


class _MissingOperators(ModuleType):
    """Has a function of every name; all but the two that say what mmcv was compiled with raise an error."""

    def __getattr__(self, name: str) -> Callable:
        if name.startswith('__'):
            raise AttributeError(name)
        return partial(_missing_operator, name)


def _missing_operator(name: str, *args: Any, **kwargs: Any) -> str:
    if name in ('get_compiler_version', 'get_compiling_cuda_version'):
        return 'not available'
    raise DependencyError(f'this needs {name}, one of the compiled operators of mmcv, and the mmcv installed here has '
                          'none: pre-training does without them, many detectors do not. pip uninstall mmcv-lite, '
                          'then compile mmcv by bash tools/install.sh')


def allow_training_checkpoints() -> None:
    """Let ``torch.load(weights_only=True)`` open MMEngine's own training checkpoints without trusting the file.

    mmengine 0.10.7 stores ``HistoryBuffer`` objects (logged scalars in numpy arrays) beside the weights. From torch
    2.6 on, ``weights_only`` is the default, so that ``--resume`` and ``init_cfg=dict(type='Pretrained', ...)`` would
    fail on its checkpoints. The types in them are plain data, and are allowed here by name; everything else stays
    forbidden. (Strings of numpy's are class names in mmdet3d's KITTI info files, which its detectors' checkpoints
    repeat.)
    """
    if digit_version(torch.__version__) >= digit_version('2.6'):
        torch.serialization.add_safe_globals([(value, name) for name, value in _training_checkpoint_types().items()])
    else:
        torch.load = _load_with_our_types


def _training_checkpoint_types() -> dict[str, Any]:
    """What MMEngine's checkpoints hold besides weights, by the names that numpy 1 and numpy 2 write."""
    dtypes = [type(np.dtype(name)) for name in ('bool', 'uint8', 'int32', 'int64', 'float32', 'float64', 'str')]
    types = {f'{value.__module__}.{value.__name__}': value for value in (HistoryBuffer, np.ndarray, np.dtype, *dtypes)}
    for module in ('numpy.core.multiarray', 'numpy._core.multiarray'):
        types |= {f'{module}.{name}': getattr(multiarray, name) for name in ('_reconstruct', 'scalar')}
    return types | {'builtins.getattr': _history_statistic}


class _RestrictedUnpickler(pickle._Unpickler):  # the one in Python, of which single instructions can be replaced
    """For torch before 2.6, whose own restricted unpickler cannot be told of further types (or not by name)."""
    dispatch = pickle._Unpickler.dispatch.copy()

    def find_class(self, module: str, name: str) -> Any:
        """The object of that name, if it is a part of tensors or of MMEngine's training checkpoints.

        ``torch.save`` writes pickles of protocol 2, with Python 2's names of modules and bytes as text to be encoded.
        """
        in_protocol_2 = {'__builtin__.getattr': _history_statistic, '_codecs.encode': codecs.encode}
        allowed = {**_get_allowed_globals(), **_training_checkpoint_types(), **in_protocol_2}
        if f'{module}.{name}' not in allowed:
            raise pickle.UnpicklingError(f'Unsupported global: GLOBAL {module}.{name} is not allowed')
        return allowed[f'{module}.{name}']

    def load_build(self) -> None:
        """Set the attributes of an object, but not of a function or class, which the whole program uses."""
        if callable(self.stack[-2]):
            raise pickle.UnpicklingError(f'Unsupported state: attributes of {self.stack[-2]!r} are not allowed')
        super().load_build()

    dispatch[pickle.BUILD[0]] = load_build


_restricted_pickle = SimpleNamespace(__name__='simipu', Unpickler=_RestrictedUnpickler,
                                     load=lambda file, **options: _RestrictedUnpickler(file, **options).load())
_torch_load = torch.load


def _load_with_our_types(*args: Any, weights_only: bool = False, **kwargs: Any) -> Any:
    """``torch.load`` of a torch before 2.6; whoever does not ask for ``weights_only`` gets what that torch does."""
    if weights_only:
        kwargs['pickle_module'] = _restricted_pickle
    return _torch_load(*args, **kwargs, weights_only=False)


def _history_statistic(owner: Any, name: str) -> Callable:
    """Stands in for ``getattr`` in a checkpoint: a history holds four of its class's own functions."""
    if owner is HistoryBuffer and name in ('min', 'max', 'mean', 'current'):
        return getattr(owner, name)
    raise pickle.UnpicklingError(f'checkpoint asks for attribute {name!r} of {owner!r}; only the statistics '
                          'of HistoryBuffer are allowed')


def _norm_of_all(tensors: Iterable[Tensor]) -> Tensor:
    """The norm of the vector that all elements form; 0 without any."""
    norms = [torch.linalg.vector_norm(tensor) for tensor in tensors]
    return torch.linalg.vector_norm(torch.stack(norms)) if norms else torch.zeros(())


get_total_norm = getattr(nn.utils, 'get_total_norm', _norm_of_all)  # PyTorch's, which is faster, is of torch 2.6


def write_checkpoints_whole() -> None:
    """Let a process that is killed, or a full disk, leave no half a checkpoint in the place of a good one.

    mmengine 0.10.7 writes checkpoints, and the file ``last_checkpoint`` that names the newest, in place.
    """
    LocalBackend.put = lambda self, obj, filepath: write_whole(filepath, obj)
    checkpoint_hook.open = _whole_text_file  # goes before the built-in one; used for last_checkpoint only


@contextmanager
def _whole_text_file(path: str, mode: str) -> Iterator[io.StringIO]:
    """``open(path, 'w')`` that writes at the end."""
    stream = io.StringIO()
    yield stream
    write_whole(path, stream.getvalue().encode())


def remove_checkpoints_afterwards() -> None:
    """Let a training never be without a good checkpoint.

    mmengine 0.10.7 removes the oldest of ``max_keep_ckpts``, and the best so far, before it writes the new one; so
    with one of them a full disk, or a process that is killed, leaves none. Meanwhile there is one more.
    """
    for name in ('_save_checkpoint_with_step', '_save_best_checkpoint'):
        setattr(CheckpointHook, name, _removing_afterwards(getattr(CheckpointHook, name)))


def _removing_afterwards(save: Callable[..., None]) -> Callable[..., None]:

    @wraps(save)
    def save_and_remove(self: CheckpointHook, *args, **kwargs) -> None:
        backend, self.file_backend = self.file_backend, _RemovingLater(self.file_backend)
        try:
            save(self, *args, **kwargs)
            for remove in self.file_backend.removals:
                remove()
        finally:
            self.file_backend = backend

    return save_and_remove


class _RemovingLater:
    """A file backend that collects in ``removals`` what it is told to remove."""

    def __init__(self, backend: BaseStorageBackend) -> None:
        self._backend, self.removals = backend, []

    def remove(self, path: str) -> None:
        self.removals.append(partial(self._backend.remove, path))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)


def read_kitti_frames_without_objects() -> None:
    """Let mmdet3d's ``KittiDataset`` read, for image-based detectors, frames that show no object.

    mmdet3d 1.4.0 gives such a frame labels of no dimension, and fails with an IndexError when it filters
    them.
    """
    from mmdet3d.datasets import Det3DDataset, KittiDataset  # imports spconv, see silence_spconv
    remove_dontcare = Det3DDataset._remove_dontcare

    def _remove_dontcare(self: KittiDataset, ann_info: dict) -> dict:
        labels = ann_info.get('gt_bboxes_labels')
        if labels is not None and labels.ndim == 0:
            ann_info = dict(ann_info, gt_bboxes_labels=np.zeros(0, dtype=np.int64))
        return remove_dontcare(self, ann_info)

    KittiDataset._remove_dontcare = _remove_dontcare


def find_own_bases() -> None:
    """Let a config name one of this package as its base: ``_base_ = 'simipu::simipu_kitti.py'``.

    mmengine 0.10.7 knows the packages whose configs can be named so by a fixed list, expects a folder in the
    name, and looks for the types of such a base in a registry of its package; simipu's are in mmdet3d's.
    """
    find = Config._get_cfg_path

    def _get_cfg_path(cfg_path: str, filename: str) -> tuple[str, str | None]:
        package, _, name = cfg_path.partition('::')
        return (str(OWN_CONFIGS / name), None) if package == 'simipu' else find(cfg_path, filename)

    Config._get_cfg_path = staticmethod(_get_cfg_path)


@contextmanager
def config_files_changed(change: Callable[[str], str]) -> Iterator[None]:
    """Within, MMEngine reads each Python config of a chain as ``change`` leaves its text.

    mmengine 0.10.7 evaluates the files of a chain one after another and has no way to set a variable in between. It
    copies each first, by a function of a private name.
    """
    copy = Config._substitute_predefined_vars

    def copy_and_change(filename: str, temporary: str) -> None:
        copy(filename, temporary)
        if filename.endswith('.py'):
            text = Path(temporary).read_text(encoding='utf-8')
            Path(temporary).write_text(change(text), encoding='utf-8')

    Config._substitute_predefined_vars = staticmethod(copy_and_change)
    try:
        yield
    finally:
        Config._substitute_predefined_vars = staticmethod(copy)


class _SafeYamlHandler(YamlHandler):

    def load_from_fileobj(self, file: IO, **kwargs) -> Any:
        content = super().load_from_fileobj(file, **dict(kwargs, Loader=yaml.SafeLoader))
        if _num_values(content, {}) > MAX_YAML_VALUES:
            raise ValueError(f'its aliases (&a, *a) stand for more than {MAX_YAML_VALUES} values; write them out')
        return content


def _num_values(value: Any, known: dict[int, float]) -> float:
    """How many values there are once aliases are copied, as Config does; infinitely many in one that holds itself."""
    if isinstance(value, dict | list) and id(value) not in known:
        known[id(value)] = math.inf
        items = value.values() if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_num_values(item, known) for item in items)
    return known.get(id(value), 1)


def read_yaml_safely() -> None:
    """Let a YAML file hold data only: mmengine 0.10.7 makes the Python calls that one may name.

    Configs and their bases, and all that ``mmengine.load`` is given, are read by this handler.
    """
    register_handler(['yaml', 'yml'])(_SafeYamlHandler)


@contextmanager
def numpy_long() -> Iterator[None]:
    """mmdet3d 1.4.0's ``DataBaseSampler`` asks for ``np.long``, which numpy 1.24 to 1.26 do not have."""
    if 'long' in vars(np):
        yield
        return
    np.long = np.int64
    try:
        yield
    finally:
        del np.long


def init_cpu_process_group(launcher: str, timeout: float | None = None) -> None:
    """Create the process group where there is no accelerator; call it before the Runner is built.

    mmengine 0.10.7's ``init_dist`` calls ``torch.cuda.set_device`` whatever the backend, and so fails
    on a machine without GPU. It is skipped where a process group exists.

    Args:
        launcher: ``'none'``, ``'pytorch'`` (torchrun), ``'slurm'`` or ``'mpi'``.
        timeout: Seconds after which a process that does not answer is an error; PyTorch's 30 minutes by default.

    Raises:
        ConfigError: A launcher other than torchrun on a machine without GPU.
    """
    if launcher == 'none' or get_device() != 'cpu' or is_distributed():
        return
    if launcher != 'pytorch':
        raise ConfigError(f'--launcher {launcher} needs GPUs, and none is visible; on CPUs use '
                          'tools/dist_train.sh, which starts processes by torchrun')
    options = {} if timeout is None else dict(timeout=timedelta(seconds=timeout))
    torch.distributed.init_process_group('gloo', **options)


def set_model_wrapper(cfg: Config) -> None:
    """Make ``cfg`` wrap the model for several processes.

    As mmengine 0.10.7 does by itself, but for two things. It has no way to say that gradients are views of the
    buckets that are exchanged, which saves a copy and the memory of all gradients, without a ``model_wrapper_cfg``,
    where it no longer looks at ``find_unused_parameters``. And it always gives ``DistributedDataParallel`` a
    ``device_ids``, which PyTorch refuses for a model on the CPU.

    A config that has its own ``model_wrapper_cfg`` keeps its settings.
    """
    own = cfg.get('model_wrapper_cfg') or {}
    if own.get('type', 'MMDistributedDataParallel') == 'MMDistributedDataParallel':
        own = dict(dict(type='MMDistributedDataParallel', broadcast_buffers=False, gradient_as_bucket_view=True,
                        find_unused_parameters=cfg.get('find_unused_parameters', False)), **own)
    cfg.model_wrapper_cfg = dict(own, device_ids=None) if get_device() == 'cpu' else own


@registries.OPTIM_WRAPPERS.register_module()
class CPUAmpOptimWrapper(OptimWrapper):
    """Mixed precision in bfloat16 on the CPU, where gradients need no scaling.

    mmengine 0.10.7's ``AmpOptimWrapper`` refuses to be built without an accelerator.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Autocast the forward pass; no gradient exchange while gradients accumulate."""
        with super().optim_context(model), torch.autocast('cpu', dtype=torch.bfloat16):
            yield
