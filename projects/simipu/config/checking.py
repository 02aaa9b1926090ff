"""Finds misspelt types and keys in a config before anything is built from it.

OpenMMLab builds objects from dicts, so a wrong key surfaces late, as the ``TypeError`` of some
constructor, without its place in the config; and a class that takes ``**kwargs`` may swallow it.
"""
import logging
import re
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any, NamedTuple

from mmdet3d import registry as registries
from mmengine.config import Config, ConfigDict
from mmengine.device import get_device
from mmengine.logging import print_log
from mmengine.registry import FUNCTIONS, DefaultScope, Registry

from ..errors import ConfigError
from .arguments import accepted_arguments, named_arguments
from .ranges import not_a_number
from .runner_keys import misspelt_keys
from .sections import untyped_parts, wrong_kinds, wrong_priorities, wrong_words
from .values import wrong_settings, wrong_types

# What a dict with ``type`` may stand for, by its place in the config.
_SECTIONS = dict(
    model=(registries.MODELS, registries.TASK_UTILS, registries.WEIGHT_INITIALIZERS),
    train_dataloader=(registries.DATASETS, registries.TRANSFORMS, registries.DATA_SAMPLERS,
                      FUNCTIONS),
    optim_wrapper=(registries.OPTIM_WRAPPERS, registries.OPTIMIZERS),
    param_scheduler=(registries.PARAM_SCHEDULERS, ),
    train_cfg=(registries.LOOPS, ),
    val_evaluator=(registries.EVALUATOR, registries.METRICS),
    default_hooks=(registries.HOOKS, registries.TRANSFORMS),  # some hooks switch pipelines
    visualizer=(registries.VISUALIZERS, registries.VISBACKENDS),
    log_processor=(registries.LOG_PROCESSORS, ),
    model_wrapper_cfg=(registries.MODEL_WRAPPERS, ))
_SECTIONS['val_dataloader'] = _SECTIONS['test_dataloader'] = _SECTIONS['train_dataloader']
_SECTIONS['val_cfg'] = _SECTIONS['test_cfg'] = _SECTIONS['train_cfg']
_SECTIONS['test_evaluator'] = _SECTIONS['val_evaluator']
_SECTIONS['custom_hooks'] = _SECTIONS['default_hooks']
# Keys that the registry itself takes out of a dict.
_REGISTRY_KEYS = {'type', '_scope_'}
# And those that the Runner takes out of the dicts of a section before it builds them, or our constructor of optimizers
# where the installed torch does not know them.
_RUNNER_TAKES = dict(
    optim_wrapper={'constructor', 'paramwise_cfg', 'fused'},
    param_scheduler={'by_epoch', 'convert_to_iter_based'},
    train_cfg={'by_epoch'},
    default_hooks={'priority'},
    custom_hooks={'priority'})
_MOST_SHOWN = 10  # a wrong default_scope alone makes all types unknown
# Dicts of these names are completed or partly used up by the class around them: only types are checked.
_PARTIAL = {'conv_cfg', 'norm_cfg', 'act_cfg', 'init_cfg', 'dcn'}
# And the ``type`` of these is no registered class.
_OPTIONS = {'nms', 'nms_cfg', 'roi_layer'}
# Types that run on a GPU only, and why.
_GPU_ONLY = dict(
    DynamicVFE='mmcv 2.1 has no CPU version of the scatter that its voxels need',
    KittiMetric='mmdet3d 1.4 computes the overlaps of its 3D boxes with numba.cuda; docs/downstream.md '
                'says what to do on a CPU')


class _Entry(NamedTuple):
    """A dict with ``type`` at a place such as ``model.inter_head.loss``, and the ``_scope_`` around it."""
    path: str
    value: dict
    scope: str | None = None


def check_config(cfg: Config) -> None:
    """Check everything that the Runner builds from ``cfg``, by name and type.

    Raises:
        ConfigError: Lists types that no registry knows, keys that a class does not take, values of the wrong type or
            out of range, and top-level keys that are misspelt or of the wrong kind.
    """
    of_wrong_kind = wrong_kinds(cfg)
    rest = ConfigDict({key: value for key, value in cfg.items() if key not in of_wrong_kind})
    problems = [*_misspelt(cfg), *of_wrong_kind.values(), *wrong_words(rest), *wrong_settings(rest),
                *untyped_parts(rest), *wrong_priorities(rest), *_wrong_objects(rest)]
    if problems:
        more = [f'... and {len(problems) - _MOST_SHOWN} more'] if len(problems) > _MOST_SHOWN else []
        raise ConfigError('\n'.join(problems[:_MOST_SHOWN] + more))


def _misspelt(cfg: Config) -> Iterator[str]:
    """Top-level keys that are certainly misspelt; of others that may be, a warning is logged."""
    for key in misspelt_keys(cfg):
        if key.certain:
            yield key.message
        else:
            print_log(key.message, logger='current', level=logging.WARNING)


def _wrong_objects(cfg: ConfigDict) -> Iterator[str]:
    """One sentence for each mistake in the dicts with ``type``, in sections of the right kind."""
    sections = [section for section in _SECTIONS if section in cfg]
    for section in sections:
        yield from not_a_number(cfg[section], section)
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope') or 'mmengine'):
        registry = registries.OPTIM_WRAPPER_CONSTRUCTORS
        constructor = (cfg.get('optim_wrapper') or {}).get('constructor')
        if isinstance(constructor, str) and _registered(constructor, registry, None) is None:
            yield (f'optim_wrapper.constructor: no {registry.name} is called {constructor!r}'
                   f'{_suggestion(constructor, _registered_names(registry))}')
        for section in sections:
            for entry in _entries(_with_default_type(section, cfg[section]), section):
                yield from _problems_in_section(entry, section)


def _with_default_type(section: str, value: Any) -> Any:
    """A part of the config with the ``type`` that the Runner gives it where it has none."""
    if not isinstance(value, dict) or 'type' in value:
        return value
    loop = 'EpochBasedTrainLoop' if value.get('by_epoch') else 'IterBasedTrainLoop'
    kind = dict(train_cfg=loop, val_cfg='ValLoop', test_cfg='TestLoop', optim_wrapper='OptimWrapper',
                log_processor='LogProcessor').get(section)
    if section in ('val_evaluator', 'test_evaluator') and 'metrics' in value:
        kind = 'Evaluator'
    return value if kind is None else dict(value, type=f'mmengine.{kind}')


def _problems_in_section(entry: _Entry, section: str) -> list[str]:
    problems = _problems(entry, _SECTIONS[section])
    if not problems or section != 'model':
        return problems
    from mmdet3d.models.layers.pointnet_modules.builder import SA_MODULES  # here, as importing it takes seconds
    return _problems(entry, (*_SECTIONS[section], SA_MODULES))


def check_device(cfg: Config, *sections: str) -> None:
    """Raise an error for parts that need a GPU, where there is none.

    Args:
        sections: Parts of the config that are about to be used, such as ``model``.

    Raises:
        ConfigError: Names each such type, and why it needs a GPU.
    """
    if get_device() != 'cpu':
        return
    found = [(entry.path, str(entry.value['type']).rpartition('.')[2])
             for section in sections for entry in _entries(cfg.get(section), section)]
    problems = [f'{path}.type: {kind} needs a GPU, and there is none here: {_GPU_ONLY[kind]}'
                for path, kind in found if kind in _GPU_ONLY]
    if problems:
        raise ConfigError('\n'.join(problems))


def check_typed_dict(value: Any, registry: Registry, path: str) -> None:
    """Check a single dict that ``registry`` shall build.

    Raises:
        ConfigError: It is not a dict with ``type``, or type or keys are wrong.
    """
    if not isinstance(value, dict) or 'type' not in value:
        raise ConfigError(f'{path}: expected a dict with `type`, found {value!r}')
    problems = _problems(_Entry(path, value), (registry,))
    if problems:
        raise ConfigError('\n'.join(problems))


def _entries(value: Any, path: str, scope: str | None = None) -> Iterator[_Entry]:
    """All dicts with ``type`` in ``value``, outermost first."""
    if isinstance(value, dict):
        scope = value.get('_scope_', scope)
        if 'type' in value:
            yield _Entry(path, value, scope)
        for key, item in value.items():
            yield from _entries(item, f'{path}.{key}', scope)
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _entries(item, f'{path}[{index}]', scope)


def _problems(entry: _Entry, allowed: tuple[Registry, ...]) -> list[str]:
    kind = entry.value['type']
    name = entry.path.rpartition('.')[2]
    if name in _OPTIONS:
        return []
    if isinstance(kind, str):
        known = [_registered(kind, registry, entry.scope) for registry in allowed] if kind else []
        kind = next((item for item in known if item is not None), None)
        if kind is None:
            return [_unknown_type(entry, allowed)]
    if not callable(kind):
        return [f'{entry.path}.type: expected the name of a registered type, found {kind!r}']
    names = accepted_arguments(kind)
    if name in _PARTIAL:
        return []
    if names is None:
        named = named_arguments(kind)
        return [*(f'{entry.path}.{key}: unknown key{_suggestion(key, close)}' for key in entry.value if key not in named
                  and (close := get_close_matches(key, named, n=1, cutoff=0.88))),
                *wrong_types(kind, entry.value, entry.path)]
    known = _REGISTRY_KEYS.union(names, _RUNNER_TAKES.get(re.split(r'[.[]', entry.path)[0], ()))
    unknown = [f'{entry.path}.{key}: unknown key; {kind.__name__} takes {", ".join(names)}'
               f'{_suggestion(key, names)}' for key in entry.value if key not in known]
    return [*unknown, *wrong_types(kind, entry.value, entry.path)]


def _registered(name: str, registry: Registry, scope: str | None) -> Any:
    """The class of that name as ``registry.build`` finds it: in ``scope``, else the default one, first."""
    if registry.parent is None and not registry.children:  # has no scopes
        return registry.get(name)
    with registry.switch_scope_and_registry(scope) as scoped:
        return scoped.get(name)


def _unknown_type(entry: _Entry, allowed: tuple[Registry, ...]) -> str:
    kind = entry.value['type']
    names = [name for registry in allowed for name in _registered_names(registry)]
    return (f'{entry.path}.type: no {" or ".join(registry.name for registry in allowed)} is called '
            f'{kind!r}{_suggestion(kind, names)}')


def _registered_names(registry: Registry) -> set[str]:
    """All names that a registry and its relatives know, with scope where one is needed."""
    own = set(registry.module_dict)
    if registry.parent is None:
        return own
    siblings = {f'{scope}.{name}' for scope, child in registry.parent.children.items()
                for name in child.module_dict}
    return own | siblings | set(registry.parent.module_dict)


def _suggestion(name: str, names: Any) -> str:
    """The closest names; first those that differ only in scope (``mmdet.``) or capitals."""
    bare = name.rpartition('.')[2].lower()
    close = [other for other in names if other.rpartition('.')[2].lower() == bare]
    close += get_close_matches(name, names, cutoff=0.7)
    return f'; did you mean {" or ".join(map(repr, dict.fromkeys(close[:3])))}?' if close else ''
