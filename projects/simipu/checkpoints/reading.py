"""Reading checkpoint files without ever running code that they carry."""
import os
import pickle
import re
import zipfile
from collections import Counter, OrderedDict
from pathlib import Path
from typing import NamedTuple

import torch
from mmengine.runner import CheckpointLoader
from mmengine.runner import checkpoint as mmengine_checkpoint
from torch import Tensor
from torch.hub import load_state_dict_from_url

from ..errors import CheckpointError, DependencyError
from ..files import lfs_pointer
from .contents import check_tensors, check_training

PathLike = str | os.PathLike
StateDict = dict[str, Tensor]

# The last is the one of a file that holds the moving average alone; where MMEngine writes both, it has the average
# in `state_dict`.
_CONTAINERS = ('state_dict', 'model', 'ema_state_dict')
_WRAPPER = 'module.'  # of models that were trained in several processes, and of moving averages


class Checkpoint(NamedTuple):
    """The part of a checkpoint file that describes a model.

    Attributes:
        state_dict: Without the ``module.`` that a wrapper puts before each key.
        meta: What the file says besides.
        container: The entry of the file that holds the tensors; '' where it is a state dict itself.
        wrapper: ``'module.'`` if that was before the keys, else ''.
    """
    state_dict: StateDict
    meta: dict
    container: str
    wrapper: str


def read_checkpoint(path: PathLike) -> Checkpoint:
    """Read the tensors and the ``meta`` dict of a checkpoint, on the CPU.

    The file may hold ``{'state_dict': ...}`` (OpenMMLab), ``{'model': ...}`` (many others),
    ``{'ema_state_dict': ...}`` or the state dict itself, or be a ``.safetensors`` file. It is opened with
    ``weights_only=True``: only tensors, plain Python values and the few MMEngine types that ``simipu.compat``
    allows are restored, and nothing in it is executed. Checksums are compared.

    Raises:
        CheckpointError: There is no such file; it is empty, damaged, no checkpoint, or holds other Python objects.
        DependencyError: A ``.safetensors`` file, and safetensors is not installed.
    """
    path = _existing_file(path)
    content = load_from_safetensors(str(path)) if path.suffix == '.safetensors' else _unpickled(path)
    container, state_dict = _state_dict_of(content, path)
    check_tensors(state_dict, path)
    wrapper = _WRAPPER if any(key.startswith(_WRAPPER) for key in state_dict) else ''
    return Checkpoint(_without_wrapper(state_dict), _meta_of(content), container, wrapper)


def read_training_checkpoint(path: PathLike) -> dict:
    """All of a checkpoint that MMEngine's Runner wrote while it trained; see ``read_checkpoint``.

    Raises:
        CheckpointError: As ``read_checkpoint``, or the file holds weights only.
    """
    path = _existing_file(path)
    content = _unpickled(path)
    check_tensors(_state_dict_of(content, path)[1], path)
    check_training(content, path)
    return content


@CheckpointLoader.register_scheme(prefixes='', force=True)
def load_from_local(filename: str, map_location: str | torch.device | None = None) -> dict:
    """Open a checkpoint file; MMEngine calls this for every ``init_cfg``, ``load_from`` and ``resume`` that names one.

    Its own function compares no checksums, and while resuming it would run the program text that checkpoints of
    MMEngine before 0.4 hold as ``meta['config']``, which is left out here.

    Raises:
        CheckpointError: See ``read_checkpoint``.
    """
    path = _existing_file(filename)
    content = _unpickled(path, map_location)
    check_tensors(_state_dict_of(content, path)[1], path)
    _meta_of(content).pop('config', None)
    return content


@CheckpointLoader.register_scheme(prefixes=r'.*\.safetensors$')  # MMEngine takes regular expressions here
def load_from_safetensors(filename: str, map_location: str | torch.device | None = None) -> dict:
    """Open a ``.safetensors`` file; MMEngine calls this for an ``init_cfg`` or ``load_from`` that names one.

    Raises:
        CheckpointError: There is no such file, or it is broken.
        DependencyError: safetensors is not installed.
    """
    try:
        from safetensors import torch as safetensors
    except ImportError as error:
        raise DependencyError(f'{filename} needs safetensors; run: pip install safetensors') from error
    path = _existing_file(filename)
    try:
        tensors = safetensors.load_file(path, device=str(map_location or 'cpu'))
    except Exception as error:  # of the file, or of the memory that it asks for
        raise CheckpointError(f'{filename} is not a readable safetensors file ({_first_line(error)}). Was its '
                              'download or copy cut short?') from error
    check_tensors(tensors, path)
    return tensors


def load_from_address(url: str, **kwargs) -> dict:
    """Download a checkpoint and open it; MMEngine calls this for every address and every name of a model zoo.

    Its own function, PyTorch's, runs the code that a file names unless it is told not to.

    Raises:
        CheckpointError: The file is no checkpoint, or holds more than tensors.
    """
    try:
        return load_state_dict_from_url(url, **kwargs, weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(_refusal(url, error)) from error


mmengine_checkpoint.load_url = load_from_address


def iterations_done(path: Path) -> float:
    """Of a training when it wrote this checkpoint, without reading its tensors; infinity where that cannot be told."""
    try:
        iterations = torch.load(path, map_location='cpu', weights_only=True, mmap=True)['meta']['iter']
    except Exception:  # whatever a damaged file leads to; who reads it all is told
        return float('inf')
    return iterations if isinstance(iterations, int) else float('inf')


def check_archive(path: Path) -> None:
    """Compare every part of a checkpoint with its checksum, which ``torch.load`` does not.

    Raises:
        CheckpointError: Bits have changed since the file was written, or it is packed, as PyTorch never does.
    """
    if not zipfile.is_zipfile(path):  # of before PyTorch 1.6, without checksums, or cut short
        return
    try:
        with zipfile.ZipFile(path) as archive:
            packed = any(part.compress_type != zipfile.ZIP_STORED for part in archive.infolist())
            damaged = None if packed else archive.testzip()
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, OSError, EOFError) as error:
        packed, damaged = False, str(error) or type(error).__name__
    if packed:
        raise CheckpointError(f'{path} is a packed archive, no checkpoint; unpack it and give the file inside')
    if damaged:
        raise CheckpointError(f'{path} is damaged: the checksum of {damaged} is wrong. Copy or download it again, or '
                              'use another checkpoint')


def _unpickled(path: Path, map_location: str | torch.device | None = 'cpu') -> object:
    check_archive(path)
    try:
        return torch.load(path, map_location=map_location, weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(_refusal(path, error)) from error
    except Exception as error:  # anything can come of bytes at random
        raise CheckpointError(
            f'{path} is not a readable PyTorch checkpoint ({_first_line(error)}); expected a file '
            'written by torch.save. Was its download or copy cut short?') from error


def read_state_dict(path: PathLike) -> StateDict:
    """The tensors of a checkpoint by name; see ``read_checkpoint``."""
    return read_checkpoint(path).state_dict


def non_finite_tensors(state_dict: StateDict) -> list[str]:
    """Names of the tensors that hold NaN or infinity, also where those come of conversion to float32."""
    return [name for name, value in state_dict.items()
            if value.is_floating_point() and not value.float().isfinite().all()]


def check_finite(state_dict: StateDict, path: PathLike) -> None:
    """Refuse weights from which nothing can be computed.

    Raises:
        CheckpointError: Names the file and the first tensors that hold NaN or infinity.
    """
    names = non_finite_tensors(state_dict)
    if names:
        raise CheckpointError(f'{path}: {len(names)} of {len(state_dict)} tensors hold NaN or infinity '
                              f'({shortened(names)}); use an earlier checkpoint of the training')


def shortened(names: list[str], limit: int = 3) -> str:
    """The first few names: ``'a, b, c, ...'``."""
    return ', '.join(names[:limit] + ['...'] * (len(names) > limit))


def summarize_keys(state_dict: StateDict, limit: int = 6) -> str:
    """The leading names of the keys, most frequent first: ``'backbone.* (318), neck.* (16)'``."""
    counts = Counter(key.split('.')[0] for key in state_dict)
    shown = [f'{name}.* ({count})' for name, count in counts.most_common(limit)]
    return ', '.join(shown + ['...'] * (len(counts) > limit))


def _existing_file(path: PathLike) -> Path:
    path = Path(path).expanduser()
    if path.is_dir():
        raise CheckpointError(
            f'{path} is a folder; give the checkpoint file in it, e.g. iter_1000.pth')
    if not path.exists():
        raise CheckpointError(f'no checkpoint {path.absolute()}; check the path')
    if not path.is_file():
        raise CheckpointError(f'{path} is a pipe or a device; give a checkpoint file')
    if path.stat().st_size == 0:
        raise CheckpointError(f'{path} is empty (0 bytes); expected a checkpoint written by '
                              'torch.save. Write or download it again')
    with path.open('rb') as stream:
        pointer = lfs_pointer(stream.read(200))
    if pointer:
        raise CheckpointError(f'{path} {pointer}')
    return path


def _state_dict_of(content: object, path: Path) -> tuple[str, StateDict]:
    """The tensors, and the name of the entry that they are in."""
    if not isinstance(content, dict):
        raise CheckpointError(f'{path} holds a {type(content).__name__}; expected a dict of '
                              "tensors, or a dict with 'state_dict' or 'model'")
    container = next((name for name in _CONTAINERS if isinstance(content.get(name), dict)), '')
    state_dict = content[container] if container else content
    if not state_dict:
        raise CheckpointError(f'{path} holds no tensors (its state dict is empty)')
    for key, value in state_dict.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise CheckpointError(
                f'{path} is no model checkpoint: entry {key!r} is a {type(value).__name__}; '
                "expected only tensors, or a dict with 'state_dict' or 'model' that holds only "
                'tensors')
    return container, state_dict


def _without_wrapper(state_dict: StateDict) -> StateDict:
    tensors = OrderedDict((key.removeprefix(_WRAPPER), value) for key, value in state_dict.items())
    # PyTorch keeps the versions of the modules here; some convert what they load by them.
    versions = getattr(state_dict, '_metadata', {})
    tensors._metadata = {name.removeprefix(_WRAPPER): version for name, version in versions.items()}
    return tensors


def _meta_of(content: dict) -> dict:
    meta = content.get('meta')
    return meta if isinstance(meta, dict) else {}


def _refusal(path: PathLike, error: Exception) -> str:
    """Distinguish a file that carries Python objects from one that is no checkpoint at all."""
    forbidden = re.search(r'unsupported (?:global: )?GLOBAL (\S+)', str(error), re.IGNORECASE)
    if forbidden is None:
        return f'{path} is not a PyTorch checkpoint; expected a file written by torch.save'
    return (f'{path} holds Python objects besides tensors ({forbidden[1]}) and is not opened, '
            'since that could run code from it. If you trust its origin, save only its tensors '
            "where it was made: torch.save({'state_dict': model.state_dict()}, path)")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].split('. ')[0]
