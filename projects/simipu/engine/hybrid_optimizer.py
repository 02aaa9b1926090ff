"""Several optimizers, each with its own parameters, that MMEngine sees as one."""
import logging
from collections.abc import Callable
from typing import Any

import torch
from mmdet3d.registry import OPTIM_WRAPPER_CONSTRUCTORS
from mmengine.logging import print_log
from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS, OPTIMIZERS
from torch import nn

from ..config import check_typed_dict
from ..errors import ConfigError

DEFAULT = 'default'


class HybridOptimizer(torch.optim.Optimizer):
    """Optimizers of disjoint parameters behind the interface of one.

    Its ``param_groups`` are the very dicts of its parts, and one ``state`` serves them all. So learning
    rate schedulers, ``auto_scale_lr``, gradient clipping, ``GradScaler`` and checkpoints, which only
    know these two attributes, work as with any optimizer of PyTorch.

    Args:
        optimizers: The parts by name.
        base_lr: Learning rate that MMEngine logs as ``base_lr``.

    Raises:
        ConfigError: A parameter belongs to two parts.
    """

    def __init__(self, optimizers: dict[str, torch.optim.Optimizer], base_lr: float) -> None:
        groups = []
        for name, optimizer in optimizers.items():
            for group in optimizer.param_groups:
                group['part'] = name  # shown by repr, and checked when a state dict is loaded
                groups.append(group)
        super().__init__(groups, defaults=dict(lr=base_lr))
        self.optimizers = optimizers
        self._share_with_parts()

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Let every part update its parameters; ``closure`` recomputes the loss once, before."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for optimizer in self.optimizers.values():
            optimizer.step()
        return loss

    def add_param_group(self, param_group: dict) -> None:
        """Only for the base class's constructor: which part would own a later group is unknown."""
        if hasattr(self, 'optimizers'):
            raise NotImplementedError('HybridOptimizer takes no further parameter groups; build it '
                                      'from optimizers that hold them all')
        super().add_param_group(param_group)

    def load_state_dict(self, state_dict: dict) -> None:
        """Load what ``state_dict`` returned.

        Raises:
            ConfigError: The state is that of other parts, or of other parameters.
        """
        own, loaded = ([group.get('part') for group in groups]
                       for groups in (self.param_groups, state_dict['param_groups']))
        if own != loaded:
            raise ConfigError(f'optimizer state of parts {loaded} does not fit this optimizer\'s parts '
                              f'{own}; resume with the optim_wrapper it was trained with')
        super().load_state_dict(state_dict)

    def __setstate__(self, state: dict) -> None:
        super().__setstate__(state)
        self._share_with_parts()

    def _share_with_parts(self) -> None:
        """Make the parts work on this object's groups and state."""
        groups = {name: [] for name in self.optimizers}
        for group in self.param_groups:
            groups[group['part']].append(group)
        for name, optimizer in self.optimizers.items():
            weights = [weight for group in groups[name] for weight in group['params'] if weight in self.state]
            own = {weight: self.state[weight] for weight in weights}  # AdamW of torch 2.1 fails on that of other parts
            optimizer.__setstate__(dict(state=own, param_groups=groups[name]))
            optimizer.state = self.state


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class HybridOptimWrapperConstructor:
    """Gives each parameter to the optimizer whose prefix its name has, and all others to ``default``.

    Examples:
        optim_wrapper = dict(
            type='OptimWrapper',  # or 'AmpOptimWrapper'; any argument of these, such as clip_grad
            constructor='HybridOptimWrapperConstructor',
            optimizer=dict(
                point_encoder=dict(type='AdamW', lr=1e-3, weight_decay=0.01),
                default=dict(type='SGD', lr=0.03, momentum=0.9)))

    A prefix is the dotted name of a module or parameter; of several that fit, the longest wins. Frozen
    parameters (``requires_grad=False``) go nowhere. Scalars, such as a learned temperature, get no weight
    decay: zero is no better a value for them than any other.

    Args:
        optim_wrapper_cfg: As above, without ``constructor``.
            ``fused=True`` of an optimizer is left out where the installed torch cannot do it.
        paramwise_cfg: Applied within every part, see ``DefaultOptimWrapperConstructor``.

    Raises:
        ConfigError: A prefix that fits no parameter, an unknown optimizer or argument, or parameters
            that fit no prefix where there is no ``default``.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        self.wrapper_cfg = dict(optim_wrapper_cfg)
        self.paramwise_cfg = paramwise_cfg
        self.parts = self.wrapper_cfg.pop('optimizer', None)
        if (not isinstance(self.parts, dict) or 'type' in self.parts
                or not all(isinstance(part, dict) for part in self.parts.values())):
            raise ConfigError('optim_wrapper.optimizer: HybridOptimWrapperConstructor expects one '
                              "optimizer per prefix, such as dict(point_encoder=dict(type='AdamW', "
                              f"lr=1e-3), default=dict(type='SGD', lr=0.01)); found {self.parts}")
        for name, cfg in self.parts.items():
            known_to_all = {key: value for key, value in cfg.items() if key != 'fused'}
            check_typed_dict(known_to_all, OPTIMIZERS, f'optim_wrapper.optimizer.{name}')

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Build the optimizer wrapper of ``model`` (plain or wrapped for distributed training)."""
        model = getattr(model, 'module', model)
        optimizers = {}
        for name, parameters in self._assign(model).items():
            if not parameters:
                print_log(f'optim_wrapper.optimizer.{name}: all its parameters are frozen',
                          logger='current', level=logging.WARNING)
                continue
            groups = self._groups(model, name, parameters)
            optimizers[name] = _build_optimizer({**self.parts[name], 'params': groups})
            print_log(f'{type(optimizers[name]).__name__} of {name!r} trains {len(parameters)} tensors',
                      logger='current')
        if not optimizers:
            raise ConfigError('optim_wrapper: the model has no trainable parameter')
        base = optimizers.get(DEFAULT) or next(iter(optimizers.values()))
        optimizer = HybridOptimizer(optimizers, base_lr=base.defaults['lr'])
        return OPTIM_WRAPPERS.build({'type': 'OptimWrapper', **self.wrapper_cfg, 'optimizer': optimizer})

    def _assign(self, model: nn.Module) -> dict[str, dict[str, nn.Parameter]]:
        """The trainable parameters of each part, by name."""
        parts = {name: {} for name in self.parts}
        used, homeless = {DEFAULT}, []
        for name, parameter in model.named_parameters():
            part = self._part_of(name)
            used.add(part)
            if not parameter.requires_grad:
                continue
            if part in parts:
                parts[part][name] = parameter
            else:
                homeless.append(name)
        for part in parts:
            if part not in used:
                modules = ', '.join(name for name, _ in model.named_children())
                raise ConfigError(f'optim_wrapper.optimizer.{part}: no parameter has this prefix; the '
                                  f'model consists of {modules}')
        if homeless:
            raise ConfigError(f'optim_wrapper.optimizer: no optimizer for {len(homeless)} parameters '
                              f'({homeless[0]}, ...); add a `{DEFAULT}` one')
        return parts

    def _part_of(self, parameter_name: str) -> str:
        fitting = [prefix for prefix in self.parts if prefix != DEFAULT
                   and f'{parameter_name}.'.startswith(f'{prefix}.')]
        return max(fitting, key=len, default=DEFAULT)

    def _groups(self, model: nn.Module, part: str, parameters: dict[str, nn.Parameter]) -> list:
        """Parameter groups of one part: scalars, and all others unless there is ``paramwise_cfg``."""
        if self.paramwise_cfg:
            groups = _OwnParameters(self.parts[part], self.paramwise_cfg, parameters).groups(model)
        else:
            tensors, scalars = ([weight for weight in parameters.values() if bool(weight.ndim) == wanted]
                                for wanted in (True, False))
            groups = [dict(params=weights) for weights in (tensors, scalars) if weights]
        for group in groups:
            if group['params'][0].ndim == 0:
                group['weight_decay'] = 0.0
        return groups


def _build_optimizer(cfg: dict) -> torch.optim.Optimizer:
    """The optimizer, without ``fused=True`` where this torch has no such kernel of it for the parameters' device."""
    try:  # with copies of the groups, as an optimizer that refuses has written its settings into them by then
        return OPTIMIZERS.build({**cfg, 'params': [group.copy() for group in cfg['params']]})
    except (TypeError, RuntimeError):
        if not cfg.get('fused'):
            raise
        return OPTIMIZERS.build({key: value for key, value in cfg.items() if key != 'fused'})


class _OwnParameters(DefaultOptimWrapperConstructor):
    """MMEngine's rules for single parameters, applied to those of one part only."""

    def __init__(self, optimizer_cfg: dict, paramwise_cfg: dict,
                 parameters: dict[str, nn.Parameter]) -> None:
        super().__init__(dict(optimizer=optimizer_cfg), paramwise_cfg)
        self.own = {id(parameter) for parameter in parameters.values()}

    def groups(self, model: nn.Module) -> list[dict]:
        groups = []
        self.add_params(groups, model)
        return [group for group in groups if id(group['params'][0]) in self.own]

    def add_params(self, params: list, module: nn.Module, prefix: str = '',
                   is_dcn_module: bool | None = None) -> None:
        """As in the base class, but silent about modules of other parts."""
        if any(id(parameter) in self.own for parameter in module.parameters()):
            super().add_params(params, module, prefix, is_dcn_module)
