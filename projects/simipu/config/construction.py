"""Errors of classes that a config names, told as the mistake in the config that they come from."""
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from mmengine.config import Config
from mmengine.model.efficient_conv_bn_eval import turn_on_efficient_conv_bn_eval
from mmengine.registry import build_from_cfg
from mmengine.runner import Runner
from mmengine.runner.activation_checkpointing import turn_on_activation_checkpointing

from ..errors import ConfigError, SimIPUError, summary, user_message

# What the Runner builds by itself, from which part of the config.
_OF_RUNNER = {getattr(Runner, method).__code__: part for method, part in dict(
    setup_env='env_cfg', set_randomness='randomness', build_logger='log_level', build_visualizer='visualizer',
    wrap_model='model_wrapper_cfg', register_default_hooks='default_hooks', register_custom_hooks='custom_hooks',
    build_train_loop='train_cfg', build_val_loop='val_cfg', build_test_loop='test_cfg',
    build_optim_wrapper='optim_wrapper', build_param_scheduler='param_scheduler', build_evaluator='val_evaluator',
    scale_lr='auto_scale_lr', __init__='config', build_log_processor='log_processor').items()}
_DATALOADER = Runner.build_dataloader.__code__
_OF_RUNNER |= {turn_on_activation_checkpointing.__code__: 'activation_checkpointing',
               turn_on_efficient_conv_bn_eval.__code__: 'efficient_conv_bn_eval'}
_REGISTRY = build_from_cfg.__code__


@contextmanager
def construction_errors_named(cfg: Config) -> Iterator[None]:
    """Within, whatever a constructor raises that the config calls becomes a ``ConfigError`` with its place.

    What is raised later, as by a training step, stays as it is.

    Raises:
        ConfigError: Names the part of the config, its type and what that says.
    """
    try:
        yield
    except Exception as error:
        frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)
                  if frame.f_code in (_REGISTRY, _DATALOADER) or frame.f_code in _OF_RUNNER]
        if isinstance(error, SimIPUError) or user_message(error) is not None or not frames:
            raise
        raise ConfigError(f'{_part(frames, cfg)}: cannot be built from these settings ({summary(error)})'
                          '; correct them. With SIMIPU_TRACEBACK=1 in the environment it is shown where') from error


def _part(frames: list[FrameType], cfg: Config) -> str:
    """Where in the config the innermost object stands that was being built."""
    innermost = frames[-1]
    if innermost.f_code is _REGISTRY:
        kind = innermost.f_locals.get('obj_type', innermost.f_locals['cfg'])
        return f'{_place(cfg, kind)}{getattr(kind, "__name__", kind)}'
    if innermost.f_code is _DATALOADER:
        return next((name for name in ('train_dataloader', 'val_dataloader', 'test_dataloader')
                     if cfg.get(name) == innermost.f_locals['dataloader']), 'data loader')
    return _OF_RUNNER[innermost.f_code]


def _place(cfg: Config, kind: Any) -> str:
    """The places of that type, if they are few: ``'model.img_backbone, '``."""
    places = list(_places(cfg.to_dict(), kind))
    return f'{" or ".join(places)}, ' if 0 < len(places) < 4 else ''


def _places(value: Any, kind: Any, path: str = '') -> Iterator[str]:
    items = value.items() if isinstance(value, dict) else (
        enumerate(value) if isinstance(value, list | tuple) else ())
    for key, item in items:
        place = f'{path}.{key}'.lstrip('.')
        if isinstance(item, dict) and item.get('type') in (kind, getattr(kind, '__name__', kind)):
            yield place
        yield from _places(item, kind, place)
