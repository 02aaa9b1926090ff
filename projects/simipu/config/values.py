"""Values of a config that are of the wrong type, or out of range, before anything is built from them."""
import inspect
import types
from collections.abc import Iterator
from typing import Any, Union, get_args, get_origin

from mmengine.config import Config
from mmengine.runner import Runner
from torch import Tensor
from torch.utils.data import DataLoader

from .arguments import argument_types

_NUMBERS = {int, float, bool, type(None), Tensor}
_LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
_LOADER_KEYS = frozenset(inspect.signature(DataLoader.__init__).parameters) - {'self'} | {
    'num_batch_per_epoch', 'disable_subprocess_warning'}
# Dicts without ``type`` that the Runner reads, and their keys.
_PLAIN = dict(
    randomness=frozenset(inspect.signature(Runner.set_randomness).parameters) - {'self'},
    env_cfg={'cudnn_benchmark', 'mp_cfg', 'dist_cfg', 'resource_limit'},
    auto_scale_lr={'enable', 'base_batch_size'})
# Whole numbers that must be at least so large.
_AT_LEAST = {
    'train_cfg.max_epochs': 1, 'train_cfg.max_iters': 1, 'train_cfg.val_interval': 1, 'randomness.seed': 0,
    'auto_scale_lr.base_batch_size': 1,
    **{f'{loader}.{key}': least for loader in _LOADERS for key, least in (('batch_size', 1), ('num_workers', 0))}}


def wrong_types(kind: Any, arguments: dict, path: str) -> list[str]:
    """One sentence for each argument whose value cannot be of the annotated type.

    Only what is certain: text for a number everywhere; of this package's own classes, whose annotations are
    exact, any other mismatch of numbers, text and containers as well.
    """
    problems = []
    for name, annotation in argument_types(kind).items():
        if name in arguments and _mismatch(annotation, arguments[name], kind.__module__.startswith('simipu')):
            problems.append(f'{path}.{name}: expected {_describe(annotation)}, found {arguments[name]!r}')
    return problems


def _mismatch(annotation: Any, value: Any, exact: bool) -> bool:
    members = get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation, )
    if isinstance(value, str):
        return set(members) <= _NUMBERS
    if not exact or not set(members) <= _NUMBERS | {str}:
        return False
    accepted = tuple({float: (int, float)}.get(member, member) for member in members)
    if isinstance(value, bool) and bool not in members:
        return True
    return not any(isinstance(value, member) for member in accepted)


def _describe(annotation: Any) -> str:
    return annotation.__name__ if inspect.isclass(annotation) else str(annotation).replace('typing.', '')


def wrong_settings(cfg: Config) -> Iterator[str]:
    """One sentence for each mistake in what the Runner itself reads: loaders, loops, seed, environment."""
    for name in _LOADERS:
        loader = cfg.get(name)
        if loader:
            yield from _unknown(loader, _LOADER_KEYS, name)
            yield from (f'{name}: expected the key {key}, found {", ".join(loader)}'
                        for key in ('dataset', 'sampler') if key not in loader)
    for name, keys in _PLAIN.items():
        yield from _unknown(cfg.get(name) or {}, keys, name)
    for path, least in _AT_LEAST.items():
        section, _, key = path.partition('.')
        value = (cfg.get(section) or {}).get(key)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < least):
            yield f'{path}: expected a whole number of at least {least}, found {value!r}'


def _unknown(found: dict, known: frozenset[str], path: str) -> Iterator[str]:
    for key in found:
        if key not in known:
            yield f'{path}.{key}: unknown key; expected some of {", ".join(sorted(known))}'
