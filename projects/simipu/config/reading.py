"""Reads a config file."""
from pathlib import Path

from mmengine.config import Config

from ..compat import OWN_CONFIGS
from ..errors import ConfigError, user_message


def read_config(path: str | Path) -> Config:
    """Read a config file; what it lacks is one message.

    Args:
        path: The file, or ``'simipu::NAME'`` for one that is installed with this package.

    Raises:
        ConfigError: There is no such file, or it builds on a package that is not installed.
    """
    package, _, name = str(path).partition('::')
    file = OWN_CONFIGS / name if package == 'simipu' else Path(path)
    if not file.is_file():
        raise ConfigError(f'no config file {path}; expected a path such as configs/simipu_synthetic.py, or an '
                          'installed config such as simipu::simipu_synthetic.py')
    try:
        return Config.fromfile(file)
    except ImportError as error:
        message = user_message(error)
        if 'mmsegmentation is not installed' in str(error):  # MMEngine's words, of a base `mmseg::...`
            message = 'mmsegmentation is not installed; run: pip install -r requirements/depth.txt'
        if message is None:
            raise
        raise ConfigError(f'{path}: {message}') from error
