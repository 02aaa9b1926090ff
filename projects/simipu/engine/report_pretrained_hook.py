"""Says at the start of a training which weights came from which file."""
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS
from mmengine.runner import CheckpointLoader, Runner
from torch import Tensor, nn

from ..checkpoints.initialising import initial_files
from ..errors import CheckpointError, ConfigError


class Origin(NamedTuple):
    """Where the weights of a module came from."""
    tensors: int  # that can be told apart
    loaded: Counter[str]  # how many of them, by file

    @property
    def share(self) -> float:
        return self.loaded.total() / self.tensors if self.tensors else 0.

    def __str__(self) -> str:
        files = ', '.join(f'{count} from {file}' for file, count in self.loaded.most_common())
        return f'{self.share:4.0%} of {self.tensors} tensors{": " if files else ""}{files}'


@HOOKS.register_module()
class ReportPretrained(Hook):
    """Reports which share of each sub-module's weights came from which file, and stops below a limit.

    MMEngine loads weights with ``strict=False``, so that a wrong file, prefix or depth leaves a module at random
    values with no more than a line in the log. Add to any config of OpenMMLab::

        custom_imports = dict(imports=['simipu'])
        custom_hooks = [dict(type='ReportPretrained')]

    The files are those that ``init_cfg=dict(type='Pretrained', ...)`` of any module and ``load_from`` name. Values are
    compared when all is loaded: a tensor counts as loaded if it has the values of one in a file, under whatever name
    and in whatever order. So prefixes do not matter, nor conversions of a layout, and what was initialised anew after
    loading does not count. Nor do tensors whose values are all equal, such as those of a fresh batch norm, on either
    side.

    The shares go to the log, and to the visualizer as ``pretrained/NAME``, such as ``pretrained/img_backbone``.
    Resumed trainings are not checked.

    Args:
        min_share: Of the tensors (0 to 1), for each module whose ``init_cfg`` names a file.
        limits: Other shares for modules by name, such as ``dict(img_backbone=1.0)``, whose weights may also come by
            ``load_from``.
    """

    def __init__(self, min_share: float = 0.9, limits: dict[str, float] | None = None) -> None:
        self.min_share = min_share
        self.limits = limits or {}

    def before_train(self, runner: Runner) -> None:
        """Compare the model with the files.

        Raises:
            CheckpointError: Too few weights of a module came from a file, or none from that of ``load_from``.
            ConfigError: ``limits`` names a module that the model does not have.
        """
        if runner.iter:
            return
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        named = dict(_named_files(model))
        limits = {**dict.fromkeys(named, self.min_share), **self.limits}
        modules = {name: module for name, module in model.named_modules()
                   if name in limits or name and '.' not in name}
        if unknown := limits.keys() - modules.keys():
            raise ConfigError(f'ReportPretrained: limits: the model has no module {", ".join(sorted(unknown))}; '
                              f'its modules are {", ".join(modules)}')
        files = dict.fromkeys([file for file in (runner._load_from, *named.values()) if file])
        fingerprints = {file: _fingerprints(_tensors_that_mmengine_reads(file)) for file in files}
        origins = {name: _origin(module, fingerprints) for name, module in modules.items()}
        shown = {name: origin for name, origin in origins.items() if origin.tensors}
        width = max(map(len, shown))
        runner.logger.info('Weights that came from files:\n' + '\n'.join(
            f'  {name:{width}} {origin}' for name, origin in shown.items()))
        runner.visualizer.add_scalars({f'pretrained/{name}': origin.share for name, origin in shown.items()})
        for name, limit in limits.items():
            if origins[name].share < limit:
                raise CheckpointError(
                    f'ReportPretrained: {name}: {origins[name]}, where at least {limit:.0%} are asked for'
                    f'{f"; its init_cfg names {named[name]}" if name in named else ""}. Name weights of the same type '
                    'and depth (and their prefix), or lower min_share or limits; `simipu verify` lists each tensor')
        if runner._load_from and not _origin(model, fingerprints).loaded[runner._load_from]:
            raise CheckpointError(f'ReportPretrained: nothing came from load_from={runner._load_from}; it holds no '
                                  'weights of this model')


def _named_files(model: nn.Module) -> Iterator[tuple[str, str]]:
    """Name of a module, and the file that its ``init_cfg`` says it starts from."""
    for name, module in model.named_modules():
        for file in initial_files(getattr(module, 'init_cfg', None)):
            yield name, file


def _tensors_that_mmengine_reads(file: str) -> list[Tensor]:
    content = CheckpointLoader.load_checkpoint(file, map_location='cpu')
    return [value for value in content.get('state_dict', content).values() if isinstance(value, Tensor)]


def _origin(module: nn.Module, files: dict[str, set]) -> Origin:
    own = [_fingerprint(value) for value in module.state_dict().values()]
    own = [fingerprint for fingerprint in own if fingerprint]
    sources = (next((file for file, known in files.items() if fingerprint in known), None) for fingerprint in own)
    return Origin(len(own), Counter(file for file in sources if file))


def _fingerprints(tensors: list[Tensor]) -> set:
    return {_fingerprint(tensor) for tensor in tensors} - {None}


def _fingerprint(tensor: Tensor) -> tuple | None:
    """Equal for equal values, whatever their precision and order; None for integers, and where all values are equal.

    The order does not count since modules may permute a kernel while they load it, as mmdet3d does with sparse
    convolutions that mmcv trained.
    """
    if not tensor.is_floating_point():
        return None
    values = tensor.detach().to('cpu', torch.float32).flatten()
    if len(values) < 2 or (values == values[0]).all():
        return None
    bits = values.view(torch.int32).long()
    return len(bits), bits.sum().item(), bits.square().sum().item()  # exact, but for whole multiples of 2^64
