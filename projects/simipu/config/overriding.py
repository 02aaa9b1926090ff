"""Overrides from the command line: each must reach something that is built.

A config in OpenMMLab's style is a Python file whose variables (``num_points``, ``max_iters``) are used in the
lines below them. Setting such a variable after the file has been read would change nothing, so it is set
where the file sets it, and the lines below are run with the new value.
"""
import ast
import logging
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from mmengine.config import Config, DictAction
from mmengine.logging import print_log

from ..compat import config_files_changed
from ..errors import ConfigError
from .reading import read_config
from .runner_keys import RUNNER_KEYS

ALIASES = dict(
    seed='randomness.seed',
    max_epochs='train_cfg.max_epochs',
    max_iters='train_cfg.max_iters',
    val_interval='train_cfg.val_interval',
    batch_size='train_dataloader.batch_size',
    num_workers='train_dataloader.num_workers')
"""Short names that people type, and what they mean where the config has no variable of that name."""


_SET_ELSEWHERE = {
    'launcher': 'how the processes were started is said by --launcher',
    **dict.fromkeys(('custom_imports', 'custom_imports.imports', 'custom_imports.allow_failed_imports'),
                    'modules are imported while the config is read; name them in the file')}


class OverrideAction(DictAction):
    """MMEngine's action of ``--cfg-options KEY=VALUE ...``, for which other words are a mistake in the command line."""

    def __call__(self, parser: ArgumentParser, namespace: Namespace, values: list[str],
                 option_string: str | None = None) -> None:
        for word in values:
            name, sign, value = word.partition('=')
            if not sign or '' in name.split('.'):
                parser.error(f'--cfg-options {word}: expected KEY=VALUE, such as train_dataloader.batch_size=2, '
                             'without spaces around =')
            if value.startswith(('dict(', '{')):
                parser.error(f'--cfg-options {name}: a dict is given by its keys, one by one, such as {name}.type=NAME')
        try:
            super().__call__(parser, namespace, values, option_string)
        except (AssertionError, ValueError, IndexError, RecursionError) as error:
            parser.error(f'--cfg-options {" ".join(values)}: {error}')


def read_with_overrides(path: str | Path, options: Mapping[str, Any]) -> Config:
    """Read a config file with values set by dotted names, as in ``{'model.img_backbone.depth': 18}``.

    Args:
        path: Config file.
        options: Values by name. A name begins with a part of the config that the Runner builds (``model``,
            ``train_dataloader``), with a variable of the config (``num_points``), or is one of ``ALIASES``.

    Raises:
        ConfigError: A name is unknown, leads into a list without the number of an element or past its end,
            or sets a variable that nothing is built from.
    """
    plain = read_config(path)
    for problem in idle_variables(plain):
        print_log(problem, logger='current', level=logging.WARNING)
    variables = {name: value for name, value in options.items() if _is_variable(name, plain)}
    for name, value in variables.items():
        _check_that_it_reaches_something(path, plain, name, value)
    cfg = _read_with_variables(path, variables) if variables else plain
    for name, value in options.items():
        if name not in variables:
            _override(cfg, name, value)
    return cfg


def idle_variables(cfg: Config) -> Iterator[str]:
    """One sentence for each variable of a base that a config sets anew to no effect.

    The lines of a base have been evaluated by then, so only the lines of the config itself could use the new value.

    Args:
        cfg: As it was read from its file.
    """
    path = Path(cfg.filename)
    if path.suffix != '.py':
        return
    tree = ast.parse(path.read_text(encoding='utf-8'))
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    used = {node.id for node in names if isinstance(node.ctx, ast.Load)}
    for name in sorted({node.id for node in names if isinstance(node.ctx, ast.Store)} - used - RUNNER_KEYS):
        if name in cfg and _is_set_by_a_base(path, tree, name, cfg[name]):
            yield (f'{path} sets {name}, which none of its lines uses, so it changes nothing that its base has made '
                   f'from it. Set what is built{_nearest(name, cfg)}, or leave the line out and give --cfg-options '
                   f'{name}=...')


def _is_set_by_a_base(path: Path, tree: ast.Module, name: str, value: Any) -> bool:
    """Whether a base, named by a literal as is usual, has another value of a variable."""
    assigned = [node.value for node in tree.body if isinstance(node, ast.Assign)
                and any(isinstance(target, ast.Name) and target.id == '_base_' for target in node.targets)]
    literals = [node.value for value in assigned for node in ast.walk(value) if isinstance(node, ast.Constant)]
    for base in literals:
        base_path, _ = Config._get_cfg_path(base, str(path))
        before = read_config(base_path) if Path(base_path).is_file() else {}
        if name in before and before[name] != value:
            return True
    return False


def _is_variable(name: str, cfg: Config) -> bool:
    first = name.partition('.')[0]
    return first in cfg and first not in RUNNER_KEYS


def _override(cfg: Config, name: str, value: Any) -> None:
    target = name if name.partition('.')[0] in RUNNER_KEYS else ALIASES.get(name)
    if target is None:
        raise ConfigError(f'--cfg-options {name}: nothing in this config has that name{_nearest(name, cfg)}')
    if target in _SET_ELSEWHERE:
        raise ConfigError(f'--cfg-options {name}: {_SET_ELSEWHERE[target]}')
    if target != name and target.partition('.')[0] not in cfg and name != 'seed':
        raise ConfigError(f'--cfg-options {name}: it stands for {target}, but the config has no '
                          f'{target.partition(".")[0]}')
    try:
        cfg.merge_from_dict({target: value})
    except (TypeError, KeyError, IndexError, AssertionError, ValueError, AttributeError) as error:
        raise ConfigError(f'--cfg-options {name}: {error}. Where a part of the name is a list in the config, '
                          'the number of the element follows it, as in model.inter_head.0.detach_key') from error


def _check_that_it_reaches_something(path: str | Path, plain: Config, name: str, value: Any) -> None:
    try:
        changed = _read_with_variables(path, {name: value})
    except ConfigError as error:
        raise ConfigError(f'--cfg-options {name}={value}: the config cannot be evaluated with that value ({error}); '
                          f'expected one like that in {path}') from error
    if _built(changed) == _built(plain) and _value_of(plain, name) != value:
        raise ConfigError(f'--cfg-options {name}: it is a variable of the config from which nothing is built, so '
                          f'it would change nothing{_nearest(name, plain)}')


def _built(cfg: Config) -> dict:
    return {key: value for key, value in cfg.to_dict().items() if key in RUNNER_KEYS}


def _value_of(cfg: Config, name: str) -> Any:
    """The value at a dotted name; ``None`` where there is none."""
    value = cfg
    for key in name.split('.'):
        try:
            value = value[int(key)] if isinstance(value, list | tuple) else value[key]
        except (KeyError, IndexError, ValueError, TypeError):
            return None
    return value


def _nearest(name: str, cfg: Config) -> str:
    """The names that reach something and end like ``name``, else those that look like it."""
    last = name.rpartition('.')[2]
    built = [path for key, value in _built(cfg).items() for path in [key, *_paths(value, key)]]
    found = [path for path in built if path.rpartition('.')[2] == last]
    if not found:
        variables = [key for key in cfg if key not in RUNNER_KEYS]
        found = get_close_matches(name, [*variables, *ALIASES, *RUNNER_KEYS, *built], cutoff=0.75)
    if not found:
        by_last = {path.rpartition('.')[2]: path for path in reversed(built)}
        found = [by_last[key] for key in get_close_matches(last, by_last, cutoff=0.75)]
    return f'; did you mean {" or ".join(found[:3])}?' if found else (
        '; `simipu train --help` shows an example, and the config file the names')


def _paths(value: Any, prefix: str) -> Iterator[str]:
    items = value.items() if isinstance(value, dict) else (
        enumerate(value) if isinstance(value, list | tuple) else ())
    for key, item in items:
        yield f'{prefix}.{key}'
        yield from _paths(item, f'{prefix}.{key}')


def _read_with_variables(path: str | Path, variables: Mapping[str, Any]) -> Config:
    """Read the config with its variables set, in it and in its bases, right after they are first assigned."""
    with config_files_changed(lambda text: _with_values(text, variables)):
        return read_config(path)


def _with_values(text: str, variables: Mapping[str, Any]) -> str:
    """The text of a config file in which each assignment of a variable is followed by its new value."""
    lines, inserted = text.splitlines(), {}
    for node in ast.parse(text).body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        names = {target.id for target in targets if isinstance(target, ast.Name)}
        for name, value in variables.items():
            first, *keys = name.split('.')
            if first in names:
                place = ''.join(f'[{int(key) if key.isdigit() else key!r}]' for key in keys)
                inserted.setdefault(node.end_lineno, []).append(f'{first}{place} = {value!r}')
    result = []
    for number, line in enumerate(lines, 1):
        result += [line, *inserted.get(number, [])]
    return '\n'.join(result) + '\n'
