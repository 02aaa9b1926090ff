"""Data sets and modules of a config, without a runner."""
import logging
from contextlib import AbstractContextManager

from mmdet3d.registry import DATASETS
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.logging import MMLogger
from mmengine.model import BaseModule
from mmengine.registry import DefaultScope

from .config import construction_errors_named
from .errors import ConfigError


def registry_scope(cfg: Config) -> AbstractContextManager:
    """Inside, types without a prefix are those of the config's ``default_scope``."""
    return DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmdet3d'))


def build_split(cfg: Config, split: str) -> BaseDataset:
    """The data set of ``cfg.<split>_dataloader``; its items are what ``PackPairedInputs`` returns.

    Raises:
        ConfigError: The config has no such data loader.
    """
    loader = cfg.get(f'{split}_dataloader')
    if loader is None:
        raise ConfigError(f'the config has no {split}_dataloader; add one, or choose another split')
    with construction_errors_named(cfg), registry_scope(cfg):
        return DATASETS.build(loader['dataset'])


def initialise_weights(model: BaseModule) -> None:
    """``init_weights`` without the lines that MMEngine logs for each parameter."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.WARNING)
    model.init_weights()
    logger.setLevel(level)
