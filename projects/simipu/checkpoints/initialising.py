"""Weights that a training starts from."""
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmengine.logging import print_log
from torch import nn

from ..errors import CheckpointError


def initial_files(init_cfg: Any) -> list[str]:
    """The files that an ``init_cfg``, which may be a list, starts a module from."""
    steps = init_cfg if isinstance(init_cfg, (list, tuple)) else [init_cfg]
    return [step['checkpoint'] for step in steps if loads_file(step)]


def loads_file(step: Any) -> bool:
    """Whether a step of an ``init_cfg`` loads weights, and does not draw them."""
    return isinstance(step, dict) and step.get('type') == 'Pretrained'


@contextmanager
def checked_initial_weights(module: nn.Module, place: str) -> Iterator[None]:
    """Around ``init_weights``: whether ``init_cfg=dict(type='Pretrained', ...)`` loads a module whole.

    MMEngine itself takes what fits, whatever the file, and leaves the rest at random values.

    Args:
        module: The module of that ``init_cfg``; any other is ignored.
        place: Of the module in the config, such as ``model.img_backbone``.

    Raises:
        CheckpointError: The file does not exist, or nothing of it fits.
    """
    files = initial_files(getattr(module, 'init_cfg', None))
    if not files:
        yield
        return
    for file in files:
        if '://' not in file and not Path(file).expanduser().is_file():
            raise CheckpointError(f'{place}.init_cfg.checkpoint: no file {file}; put the weights there, name '
                                  'another file, or set init_cfg=None to start without')
    file = ', '.join(files)
    before = {name: value.detach().clone() for name, value in module.named_parameters()}
    yield
    untouched = [name for name, value in module.named_parameters() if value.equal(before[name])]
    if len(untouched) == len(before):
        raise CheckpointError(f'{place}.init_cfg.checkpoint: {file} holds nothing of this backbone; '
                              'expected weights of the same type and depth')
    if untouched:
        print_log(f'{place}: {len(untouched)} of {len(before)} tensors did not change when {file} was loaded; those '
                  f'that it lacks start at random values: {", ".join(untouched[:6])}', logger='current',
                  level=logging.WARNING)
