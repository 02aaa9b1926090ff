"""Values of a config that are of the wrong type, or out of range, before anything is built from them."""
import inspect
from collections.abc import Iterator
from typing import Any

from mmengine.config import Config
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from .annotations import could_be, described, is_text_for_a_number
from .arguments import argument_types, default_values
from .ranges import out_of_range

_LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
_LOADER_KEYS = frozenset(inspect.signature(DataLoader.__init__).parameters) - {'self'} | {
    'num_batch_per_epoch', 'disable_subprocess_warning'}
# Dicts without ``type`` that the Runner reads, and their keys.
_PLAIN = dict(
    randomness=frozenset(inspect.signature(Runner.set_randomness).parameters) - {'self'},
    env_cfg={'cudnn_benchmark', 'mp_cfg', 'dist_cfg', 'resource_limit'},
    auto_scale_lr={'enable', 'base_batch_size'})
_MOST_WORKERS = 1024
# Whole numbers that must be at least so large.
_AT_LEAST = {
    'train_cfg.max_epochs': 1, 'train_cfg.max_iters': 1, 'train_cfg.val_interval': 1, 'randomness.seed': 0,
    'auto_scale_lr.base_batch_size': 1,
    **{f'{loader}.{key}': least for loader in _LOADERS for key, least in (('batch_size', 1), ('num_workers', 0))}}


def wrong_types(kind: Any, arguments: dict, path: str) -> Iterator[str]:
    """One sentence for each argument whose value cannot be of the annotated type, or is out of range.

    Only what is certain: text for a number everywhere; more for classes of this package, MMEngine and PyTorch, whose
    annotations can be relied on.
    """
    exact = kind.__module__.partition('.')[0] in ('simipu', 'mmengine', 'torch')
    annotations, defaults = argument_types(kind), default_values(kind)
    for name, value in arguments.items():
        annotation = annotations.get(name, Any)
        if name in defaults and value is defaults[name]:
            continue
        if is_text_for_a_number(annotation, value) or exact and not could_be(annotation, value):
            yield f'{path}.{name}: expected {described(annotation)}, found {value!r}'
        elif exact:
            yield from out_of_range(name, value, f'{path}.{name}')


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
        elif key == 'num_workers' and value is not None and value > _MOST_WORKERS:
            yield f'{path}: expected at most {_MOST_WORKERS} processes, found {value}'


def _unknown(found: dict, known: frozenset[str], path: str) -> Iterator[str]:
    for key in found:
        if key not in known:
            yield f'{path}.{key}: unknown key; expected some of {", ".join(sorted(known))}'
