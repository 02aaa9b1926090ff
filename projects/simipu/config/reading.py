"""Reads a config file."""
from pathlib import Path

from mmengine.config import Config
from mmengine.utils import import_modules_from_strings

from ..compat import OWN_CONFIGS
from ..errors import ConfigError, SimIPUError, user_message


def read_config(path: str | Path, skip_failed_imports: bool = False) -> Config:
    """Read a config file; what it lacks is one message.

    Args:
        path: The file, or ``'simipu::NAME'`` for one that is installed with this package.
        skip_failed_imports: Warn of ``custom_imports`` that fail, in place of an error.

    Raises:
        ConfigError: There is no such file, or it builds on a package or module that cannot be imported, or it sets
            a dict where its base has a list.
    """
    package, _, name = str(path).partition('::')
    file = OWN_CONFIGS / name if package == 'simipu' else Path(path)
    if not file.is_file():
        raise ConfigError(f'no config file {path}; expected a path such as configs/simipu_synthetic.py, or an '
                          'installed config such as simipu::simipu_synthetic.py')
    try:
        cfg = Config.fromfile(file, import_custom_modules=not skip_failed_imports)
        if skip_failed_imports and 'custom_imports' in cfg:
            import_modules_from_strings(cfg.custom_imports.imports, allow_failed_imports=True)
        return cfg
    except TypeError as error:
        if 'in child config cannot inherit from base' not in str(error):
            raise
        raise ConfigError(f'{path}: {error}') from error
    except ImportError as error:
        message = user_message(error)
        if 'mmsegmentation is not installed' in str(error):  # MMEngine's words, of a base `mmseg::...`
            message = 'mmsegmentation is not installed; run: pip install -r requirements/depth.txt'
        elif message is None and str(error).startswith('Failed to import custom modules'):
            message = _import_failure(error)
        if message is None:
            raise
        raise ConfigError(f'{path}: {message}') from error


def _import_failure(error: BaseException) -> str:
    """Why a custom module cannot be imported: what this package says of one of its own, or where it began."""
    while cause := error.__cause__ or error.__context__:
        error = cause
        if isinstance(error, SimIPUError):
            return str(error)
    return (f'custom_imports: {error}; put the folder that holds these modules on the path, such as that of a clone: '
            'PYTHONPATH=/path/to/mmdetection3d')
