"""The top-level parts of a config: which kind of value each has, and which belong together."""
import logging
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

from mmengine.config import Config
from mmengine.registry import RUNNERS
from mmengine.runner import get_priority

from ..errors import ConfigError

_DICT, _LIST, _TEXT, _NONE = (dict, ), (list, tuple), (str, ), (type(None), )
_KINDS = dict(
    model=_DICT, env_cfg=_DICT, randomness=_DICT, custom_imports=_DICT,
    **dict.fromkeys(('train_dataloader', 'val_dataloader', 'test_dataloader', 'train_cfg', 'val_cfg', 'test_cfg',
                     'optim_wrapper', 'auto_scale_lr', 'default_hooks', 'visualizer', 'log_processor',
                     'data_preprocessor', 'model_wrapper_cfg'), _DICT + _NONE),
    **dict.fromkeys(('param_scheduler', 'val_evaluator', 'test_evaluator'), _DICT + _LIST + _NONE),
    custom_hooks=_LIST + _NONE,
    **dict.fromkeys(('load_from', 'work_dir', 'experiment_name', 'default_scope', 'sync_bn'), _TEXT + _NONE),
    launcher=_TEXT, runner_type=_TEXT, log_level=_TEXT + (int, ), resume=(bool, ), find_unused_parameters=(bool, ),
    compile=(bool, dict, type(None)))
_WORDS = {dict: 'a dict', list: 'a list', tuple: 'a list', str: 'a text', int: 'a number', bool: 'True or False',
          type(None): 'None'}
# What the Runner wants all of, or none.
_TOGETHER = (('train_dataloader', 'train_cfg', 'optim_wrapper'), ('val_dataloader', 'val_cfg', 'val_evaluator'),
             ('test_dataloader', 'test_cfg', 'test_evaluator'))


def check_parts(cfg: Config, *needed: str) -> None:
    """Check that a command finds the parts of the config that it needs, and no half of what belongs together.

    Raises:
        ConfigError: Names the missing part.
    """
    problems = [f'{name}: the config has none, and this command needs it' for name in ('model', *needed)
                if cfg.get(name) is None]
    for names in _TOGETHER:
        missing = [name for name in names if cfg.get(name) is None]
        if missing and len(missing) < len(names) and not set(missing) & set(needed):
            problems.append(f'{", ".join(names)}: expected all or none, found no {" and no ".join(missing)}')
    if problems:
        raise ConfigError('\n'.join(problems))


def check_kinds(cfg: Config) -> None:
    """Check the top level of a config alone, as of a detector whose parts this package does not know.

    Raises:
        ConfigError: A part is of the wrong kind, or ``default_scope`` no package.
    """
    problems = wrong_kinds(cfg)
    problems = [*problems.values(), *(() if problems else wrong_words(cfg))]
    if problems:
        raise ConfigError('\n'.join(problems))


def wrong_kinds(cfg: Config) -> dict[str, str]:
    """A sentence for each top-level key whose value is of the wrong kind, by its name."""
    problems = {}
    for key, kinds in _KINDS.items():
        if key in cfg and not _is_of(cfg[key], kinds):
            wanted = ' or '.join(dict.fromkeys(_WORDS[kind] for kind in kinds))
            problems[key] = f'{key}: expected {wanted}, found {_short(cfg[key])}'
    return problems


def wrong_words(cfg: Config) -> Iterator[str]:
    """One sentence for each top-level text that is none of those possible."""
    level = cfg.get('log_level', 'INFO')
    if isinstance(level, str) and not isinstance(logging.getLevelName(level), int):
        yield f'log_level: expected DEBUG, INFO, WARNING or ERROR, found {level!r}'
    if cfg.get('sync_bn') not in (None, 'torch', 'mmcv'):
        yield f"sync_bn: expected 'torch' or 'mmcv', found {cfg.sync_bn!r}"
    if 'runner_type' in cfg and RUNNERS.get(cfg.runner_type) is None:
        yield f'runner_type: expected one of {", ".join(RUNNERS.module_dict)}, found {cfg.runner_type!r}'
    scope = cfg.get('default_scope') or 'mmengine'
    if not scope.isidentifier() or find_spec(scope) is None:
        yield f"default_scope: expected an installed package of OpenMMLab, such as 'mmdet3d', found {scope!r}"


def untyped_parts(cfg: Config) -> Iterator[str]:
    """One sentence for each part that the Runner can only build from a dict with ``type``."""
    for path, value in _typed_parts(cfg):
        if 'type' not in value if isinstance(value, dict) else isinstance(value, int | float | str | list | tuple):
            yield f'{path}: expected a dict with `type`, found {_short(value)}'


def wrong_priorities(cfg: Config) -> Iterator[str]:
    """One sentence for each hook whose priority MMEngine does not know."""
    for path, hook in _hooks(cfg):
        if isinstance(hook, dict) and 'priority' in hook:
            try:
                get_priority(hook['priority'])
            except (ValueError, TypeError, KeyError, AttributeError):
                yield (f'{path}.priority: expected a number from 0 to 100 or one of HIGHEST, VERY_HIGH, HIGH, '
                       f'ABOVE_NORMAL, NORMAL, BELOW_NORMAL, LOW, VERY_LOW, LOWEST, found {hook["priority"]!r}')


def _typed_parts(cfg: Config) -> Iterator[tuple[str, Any]]:
    if 'model' in cfg:
        yield 'model', cfg.model
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        loader = cfg.get(name) or {}
        yield from ((f'{name}.{key}', loader[key]) for key in ('dataset', 'sampler', 'batch_sampler')
                    if loader.get(key) is not None)
    for name in ('param_scheduler', 'val_evaluator', 'test_evaluator'):
        parts = cfg.get(name)
        if isinstance(parts, list | tuple):
            yield from ((f'{name}[{index}]', part) for index, part in enumerate(parts))
    yield from ((path, hook) for path, hook in _hooks(cfg) if hook is not None)
    if cfg.get('visualizer') is not None:
        yield 'visualizer', cfg.visualizer
        backends = cfg.visualizer.get('vis_backends') if isinstance(cfg.visualizer, dict) else None
        if isinstance(backends, list | tuple):
            yield from ((f'visualizer.vis_backends[{index}]', backend) for index, backend in enumerate(backends))


def _hooks(cfg: Config) -> Iterator[tuple[str, Any]]:
    yield from ((f'default_hooks.{name}', hook) for name, hook in (cfg.get('default_hooks') or {}).items())
    yield from ((f'custom_hooks[{index}]', hook) for index, hook in enumerate(cfg.get('custom_hooks') or ()))


def _is_of(value: Any, kinds: tuple[type, ...]) -> bool:
    return isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f'{text[:80]} ...'
