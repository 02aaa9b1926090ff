"""Whether the parts of a checkpoint are of the kinds that those who load them take for granted."""
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import CheckpointError

_DTYPES = {torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.bool, torch.uint8, torch.int8,
           torch.int16, torch.int32, torch.int64}
# What must be a floating-point number, by the last part of its name.
_FLOATING = {'weight', 'bias', 'running_mean', 'running_var'}
# Of the optimizers of PyTorch and this package, by their names: one value for each of the weights.
_LIKE_WEIGHTS = {'momentum_buffer', 'exp_avg', 'exp_avg_sq', 'max_exp_avg_sq'}

_NORM_OF_RESNET = re.compile(r'((?:layer\d+\.\d+\.)?)bn(\d+)\.weight')


def check_tensors(state_dict: Mapping[str, Tensor], path: Path) -> None:
    """Refuse tensors that no layer takes, which loading would convert to something without a word.

    Raises:
        CheckpointError: Names the first of them.
    """
    size = path.stat().st_size
    for name, value in state_dict.items():
        if value.is_meta:
            problem = 'holds no values'
        elif value.layout is not torch.strided or value.is_quantized or value.dtype not in _DTYPES:
            problem = f'is of type {value.dtype}{"" if value.layout is torch.strided else ", sparse"}'
        elif name.rpartition('.')[2] in _FLOATING and not value.is_floating_point():
            problem = f'is of type {value.dtype}'
        elif name.endswith('running_var') and (value < 0).any():
            problem = 'holds negative variances'
        elif value.numel() * value.element_size() > size:
            problem = f'claims {value.numel()} values, more than the file holds'
        else:
            continue
        raise CheckpointError(f'{path}: tensor {name} {problem}; expected a plain tensor of floating-point numbers. '
                              'Write the checkpoint again with the weights as they are trained')


def check_shapes(state_dict: Mapping[str, Tensor], path: Path) -> None:
    """Refuse convolutions that do not fit the normalisation behind them: ``conv1`` and ``bn1``, as ResNets call them.

    Where no model is built, this is what shows that a weight was transposed, flattened, cut or lost.

    Raises:
        CheckpointError: Names the first of them.
    """
    for norm in filter(None, map(_NORM_OF_RESNET.fullmatch, state_dict)):
        if (convolution := f'{norm[1]}conv{norm[2]}.weight') not in state_dict:
            raise CheckpointError(f'{path}: no tensor {convolution}, but its normalisation {norm[0]}; use another '
                                  'checkpoint')
    for name, weight in state_dict.items():
        place, _, layer = name.removesuffix('.weight').rpartition('.')
        norm = {'0': '1'}.get(layer) if place.endswith('downsample') else layer.replace('conv', 'bn')
        scale = state_dict.get(f'{place}.{norm}.weight' if place else f'{norm}.weight')
        if layer == norm or scale is None or not name.endswith('.weight'):
            continue
        if weight.ndim < 2 or weight.shape[:1] != scale.shape:
            raise CheckpointError(f'{path}: tensor {name} is of shape {tuple(weight.shape)}, its normalisation of '
                                  f'{tuple(scale.shape)}; use another checkpoint')


def check_training(content: Mapping[str, Any], path: Path) -> None:
    """Refuse what a training cannot be resumed from.

    Raises:
        CheckpointError: Names the part that is missing or not as MMEngine writes it.
    """
    missing = [key for key in ('meta', 'optimizer', 'message_hub') if key not in content]
    if missing:
        raise CheckpointError(f'{path}: found no {" or ".join(missing)}; a training can only be resumed from a '
                              'checkpoint of a training. To start from its weights, set load_from in the config')
    meta, optimizer, hub = content['meta'], content['optimizer'], content['message_hub']
    if not isinstance(meta, dict) or not all(_is_count(meta.get(key)) for key in ('epoch', 'iter')):
        _refuse(path, 'meta', 'a dict with the numbers epoch and iter')
    if not isinstance(optimizer, dict) or not all(map(_is_optimizer_state, _parts(optimizer, 'param_groups'))):
        _refuse(path, 'optimizer', 'a dict with state and param_groups')
    schedulers = content.get('param_schedulers', [])
    lists = schedulers.values() if isinstance(schedulers, dict) else [schedulers]
    if not all(isinstance(items, list) and all(isinstance(item, dict) for item in items) for items in lists):
        _refuse(path, 'param_schedulers', 'a list of dicts')
    if not isinstance(hub, dict) or not all(isinstance(hub.get(key), dict)
                                            for key in ('log_scalars', 'runtime_info', 'resumed_keys')):
        _refuse(path, 'message_hub', 'a dict with log_scalars, runtime_info and resumed_keys')


def wrong_optimizer_state(optimizer: torch.optim.Optimizer) -> str | None:
    """What is wrong with the state that an optimizer has loaded, if anything: PyTorch looks at its structure only."""
    if not optimizer.state and any(group.get('momentum') or group.get('betas') for group in optimizer.param_groups):
        return 'it holds no momentum'
    for weight, state in optimizer.state.items():
        for name, value in state.items() if isinstance(state, dict) else ():
            if not isinstance(value, Tensor):
                if name in _LIKE_WEIGHTS and value is not None:
                    return f'{name} is a {type(value).__name__}; expected a tensor'
                continue
            if name in _LIKE_WEIGHTS and value.shape != weight.shape:
                return f'{name} is of shape {tuple(value.shape)}, its weights of {tuple(weight.shape)}'
            if value.is_meta or value.is_floating_point() and not value.isfinite().all():
                return f'{name} holds NaN or infinity'
    return None


def _refuse(path: Path, part: str, expected: str) -> None:
    raise CheckpointError(f'{path}: its {part} is damaged; expected {expected}, as a training writes it. Resume from '
                          'another checkpoint, or set load_from in the config to start from its weights')


def _parts(state: dict, key: str) -> list:
    """The state of the one optimizer, or those of several by name."""
    return [state] if key in state else [value for value in state.values() if isinstance(value, dict)] or [None]


def _is_optimizer_state(state: Any) -> bool:
    return (isinstance(state, dict) and isinstance(state.get('state'), dict)
            and isinstance(state.get('param_groups'), list)
            and all(isinstance(group, dict) for group in state['param_groups']))


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
