"""Reads a config file."""
from pathlib import Path

from mmengine.config import Config

from ..errors import ConfigError, user_message


def read_config(path: str | Path) -> Config:
    """Read a config file; what it lacks is one message.

    Raises:
        ConfigError: There is no such file, or it builds on a package that is not installed.
    """
    if not Path(path).is_file():
        raise ConfigError(f'no config file {path}; expected a path such as configs/simipu_synthetic.py')
    try:
        return Config.fromfile(path)
    except ImportError as error:
        message = user_message(error)
        if 'mmsegmentation is not installed' in str(error):  # MMEngine's words, of a base `mmseg::...`
            message = 'mmsegmentation is not installed; run: pip install -r requirements/depth.txt'
        if message is None:
            raise
        raise ConfigError(f'{path}: {message}') from error
