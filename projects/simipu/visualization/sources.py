"""Frames and models from a config, without a runner."""
from collections.abc import Callable, Sequence

import numpy as np
from mmdet3d.registry import MODELS
from mmengine.config import Config
from torch import nn

from ..building import initialise_weights, registry_scope
from ..checkpoints import read_state_dict
from ..checkpoints.reading import check_finite
from ..config import construction_errors_named
from ..errors import CheckpointError, ConfigError


def build_matcher(cfg: Config) -> Callable | None:
    """The matcher of the config's model, or None if it has none."""
    with registry_scope(cfg):
        return MODELS.build(cfg.model.matcher) if cfg.model.get('matcher') else None


def build_model(cfg: Config, checkpoint: str | None = None) -> nn.Module:
    """The model in evaluation mode, on the CPU, with the weights of a file or else untrained.

    Raises:
        CheckpointError: The file is missing, no checkpoint, or of another model.
    """
    with construction_errors_named(cfg), registry_scope(cfg):
        model = MODELS.build(cfg.model)
    if checkpoint is None:
        initialise_weights(model)
    else:
        _load(model, checkpoint)
    model.eval()
    return model


def _load(model: nn.Module, checkpoint: str) -> None:
    state_dict = read_state_dict(checkpoint)
    check_finite(state_dict, checkpoint)
    try:
        model.load_state_dict(state_dict)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()]
        raise CheckpointError(f'{checkpoint} is of another model than the config\'s; give the '
                              f'config it was trained with\n  {" ".join(lines[1:2])[:300]}'
                              ) from error


def choose_frames(total: int, count: int, first: int | None = None) -> list[int]:
    """``count`` of ``total`` frames: from ``first`` on, or else spread evenly.

    Raises:
        ConfigError: There are not that many.
    """
    if count < 1 or count > total - (first or 0) or (first or 0) < 0:
        start = '' if first is None else f' from index {first} on'
        raise ConfigError(f'{count} frames{start} are asked for, but the split has {total}, indices '
                          f'0 to {total - 1}; correct --num-frames or --frame-index')
    if first is not None:
        return list(range(first, first + count))
    return _spread(total, count)


def choose_other_frames(total: int, shown: Sequence[int], limit: int) -> list[int]:
    """At most ``limit`` of the ``total`` frames that are not ``shown``, spread evenly."""
    others = [index for index in range(total) if index not in set(shown)]
    return [others[i] for i in _spread(len(others), min(limit, len(others)))]


def _spread(total: int, count: int) -> list[int]:
    return np.linspace(0, total - 1, count).round().astype(int).tolist()
