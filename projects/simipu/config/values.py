"""Values of a config that are of the wrong type, or out of range, before anything is built from them."""
import inspect
from collections.abc import Iterator
from typing import Any

from mmengine.config import Config
from mmengine.runner import Runner
from torch.distributed import init_process_group
from torch.nn.utils import clip_grad_norm_, clip_grad_value_
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
    auto_scale_lr={'enable', 'base_batch_size'},
    custom_imports={'imports', 'allow_failed_imports'})
_DISTRIBUTED = frozenset(inspect.signature(init_process_group).parameters) | {'init_backend', 'port'}
_MOST_WORKERS = 1024
_SWITCHES = ('auto_scale_lr.enable', 'randomness.deterministic', 'randomness.diff_rank_seed', 'env_cfg.cudnn_benchmark')
_DICTS = ('env_cfg.mp_cfg', 'env_cfg.dist_cfg', 'optim_wrapper.clip_grad', 'optim_wrapper.paramwise_cfg')
_CLIPPING = dict(norm=clip_grad_norm_, value=clip_grad_value_)
# Of the constructors that give each parameter its settings by its name, and what these understand.
_BY_PARAMETER = (None, 'DefaultOptimWrapperConstructor', 'HybridOptimWrapperConstructor')
_PARAMWISE = frozenset(('custom_keys', 'bias_lr_mult', 'bias_decay_mult', 'norm_decay_mult', 'dwconv_decay_mult',
                        'flat_decay_mult', 'bypass_duplicate', 'dcn_offset_lr_mult'))
# Arguments that MMEngine annotates with less than it takes.
_ANNOTATED_TOO_NARROWLY = {'loss_scale'}
# Whole numbers that must be at least so large.
_AT_LEAST = {
    'train_cfg.max_epochs': 1, 'train_cfg.max_iters': 1, 'train_cfg.val_interval': 1, 'randomness.seed': 0,
    'auto_scale_lr.base_batch_size': 1, 'log_processor.window_size': 1,
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
        if name in _ANNOTATED_TOO_NARROWLY or name in defaults and value is defaults[name]:
            continue
        if is_text_for_a_number(annotation, value) or exact and not could_be(annotation, value):
            yield f'{path}.{name}: expected {described(annotation)}, found {value!r}'
        elif exact and name == 'filename_tmpl' and isinstance(value, str) and not _is_template(value):
            yield f"{path}.{name}: expected one {{}} for the number, such as 'iter_{{}}.pth', found {value!r}"
        elif exact:
            yield from out_of_range(name, value, f'{path}.{name}')


def _is_template(text: str) -> bool:
    """Whether a number put in gives each checkpoint a name of its own."""
    try:
        return text.format(1) != text.format(2)
    except (IndexError, KeyError, ValueError):
        return False


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
    for path in _SWITCHES:
        if not isinstance(_at(cfg, path), bool | None):
            yield f'{path}: expected True or False, found {_at(cfg, path)!r}'
    for path in _DICTS:
        if not isinstance(_at(cfg, path), dict | None):
            yield f'{path}: expected a dict, found {_at(cfg, path)!r}'
    distributed = _at(cfg, 'env_cfg.dist_cfg')
    if isinstance(distributed, dict):
        yield from _unknown(distributed, _DISTRIBUTED, 'env_cfg.dist_cfg')
    yield from _wrong_optimizer_settings(cfg)
    for path, least in _AT_LEAST.items():
        value = _at(cfg, path)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < least):
            yield f'{path}: expected a whole number of at least {least}, found {value!r}'
        elif path.endswith('num_workers') and value is not None and value > _MOST_WORKERS:
            yield f'{path}: expected at most {_MOST_WORKERS} processes, found {value}'


def _wrong_optimizer_settings(cfg: Config) -> Iterator[str]:
    """What an optimizer wrapper uses with the first step only, or never."""
    clipping, paramwise = _at(cfg, 'optim_wrapper.clip_grad'), _at(cfg, 'optim_wrapper.paramwise_cfg')
    if isinstance(clipping, dict):
        clip = _CLIPPING.get(clipping.get('type', 'norm'))
        if clip is None:
            yield f"optim_wrapper.clip_grad.type: expected 'norm' or 'value', found {clipping['type']!r}"
        else:
            yield from _unknown(clipping, frozenset(inspect.signature(clip).parameters) - {'parameters'} | {'type'},
                                'optim_wrapper.clip_grad')
        for name, value in clipping.items():
            yield from out_of_range(name, value, f'optim_wrapper.clip_grad.{name}')
    if isinstance(paramwise, dict) and _at(cfg, 'optim_wrapper.constructor') in _BY_PARAMETER:
        yield from _unknown(paramwise, _PARAMWISE, 'optim_wrapper.paramwise_cfg')


def _at(cfg: Config, path: str) -> Any:
    """The value of ``SECTION.KEY``; None where there is none."""
    section, _, key = path.partition('.')
    return (cfg.get(section) or {}).get(key)


def _unknown(found: dict, known: frozenset[str], path: str) -> Iterator[str]:
    for key in found:
        if key not in known:
            yield f'{path}.{key}: unknown key; expected some of {", ".join(sorted(known))}'
