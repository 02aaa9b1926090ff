"""Weights that a training starts from."""
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmengine.logging import print_log
from torch import nn

from ..errors import CheckpointError


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
    init_cfg = getattr(module, 'init_cfg', None)
    if not isinstance(init_cfg, dict) or init_cfg.get('type') != 'Pretrained':
        yield
        return
    file = init_cfg['checkpoint']
    if '://' not in file and not Path(file).expanduser().is_file():
        raise CheckpointError(f'{place}.init_cfg.checkpoint: no file {file}; put the weights there, name '
                              'another file, or set init_cfg=None to start without')
    before = {name: value.detach().clone() for name, value in module.named_parameters()}
    yield
    untouched = [name for name, value in module.named_parameters() if value.equal(before[name])]
    if len(untouched) == len(before):
        raise CheckpointError(f'{place}.init_cfg.checkpoint: {file} holds nothing of this backbone; '
                              'expected weights of the same type and depth')
    if untouched:
        print_log(f'{place}: {len(untouched)} of {len(before)} tensors are not in {file} and start at '
                  f'random values: {", ".join(untouched[:6])}', logger='current', level=logging.WARNING)
