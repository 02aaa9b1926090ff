"""The top-level keys of a config that MMEngine's Runner (or this package's tools) make use of."""
import inspect
import re
from collections.abc import Iterator
from difflib import get_close_matches
from typing import NamedTuple

from mmengine.config import Config
from mmengine.runner import Runner

RUNNER_KEYS = frozenset(inspect.signature(Runner.__init__).parameters) - {'self', 'cfg'} | {
    # Read from the whole config.
    'activation_checkpointing', 'compile', 'custom_imports', 'efficient_conv_bn_eval',
    'find_unused_parameters', 'model_wrapper_cfg', 'runner_type', 'sync_bn'}


class MisspeltKey(NamedTuple):
    """A top-level key that is nearly, but not quite, one of the Runner's.

    Attributes:
        message: One sentence.
        certain: Whether it cannot be a variable. One that no line uses does nothing, as ``eval_dataloader`` in a config
            of mmdet3d, and has another first letter, which people rarely mistake.
    """
    message: str
    certain: bool


def misspelt_keys(cfg: Config) -> Iterator[MisspeltKey]:
    """Of the top-level keys of a config those that are nearly the Runner's; others are variables."""
    for key in cfg:
        meant = None if key in RUNNER_KEYS else _nearest(key)
        is_used = len(re.findall(rf'\b{re.escape(key)}\b', cfg.text)) > 1
        if meant and not (meant in cfg and is_used):
            yield MisspeltKey(f'{key}: the Runner reads no such key, so it would do nothing; did you mean {meant}? (A '
                              'variable of your own needs another name)', meant not in cfg or key[0] in meant[:2])


def _nearest(key: str) -> str | None:
    slips = [known for known in RUNNER_KEYS if _is_one_slip(key, known)]
    return next(iter(slips + get_close_matches(key, RUNNER_KEYS, n=1, cutoff=0.88)), None)


def _is_one_slip(first: str, second: str) -> bool:
    """Whether a letter is missing, added, another, or two neighbours have changed places."""
    while first and second and first[0] == second[0]:
        first, second = first[1:], second[1:]
    while first and second and first[-1] == second[-1]:
        first, second = first[:-1], second[:-1]
    return max(len(first), len(second)) < 2 or len(first) == 2 and first == second[::-1]
