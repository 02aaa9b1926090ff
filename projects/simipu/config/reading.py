"""Reads a config file."""
import traceback
from pathlib import Path

from mmengine.config import Config
from mmengine.utils import import_modules_from_strings

from ..compat import OWN_CONFIGS
from ..errors import ConfigError, SimIPUError, summary, user_message
from ..files import lfs_pointer


def read_config(path: str | Path, skip_failed_imports: bool = False) -> Config:
    """Read a config file; whatever is wrong with it is one message.

    Args:
        path: The file, or ``'simipu::NAME'`` for one that is installed with this package.
        skip_failed_imports: Warn of ``custom_imports`` that fail, in place of an error.

    Raises:
        ConfigError: There is no such file, or it cannot be evaluated: for its syntax, a base that is missing, a package
            or module that cannot be imported, a dict where its base has a list.
    """
    package, _, name = str(path).partition('::')
    file = OWN_CONFIGS / name if package == 'simipu' else Path(path)
    if not file.is_file():
        raise ConfigError(f'no config file {path}; expected a path such as configs/simipu_synthetic.py, or an '
                          'installed config such as simipu::simipu_synthetic.py')
    _check_kind(file)
    try:
        cfg = Config.fromfile(file, import_custom_modules=not skip_failed_imports)
        if skip_failed_imports and 'custom_imports' in cfg:
            import_modules_from_strings(cfg.custom_imports.imports, allow_failed_imports=True)
        _import_what_is_named(list(cfg.values()))
        return cfg
    except (Exception, SystemExit) as error:  # a config is a program, which may raise anything
        raise ConfigError(f'{path}: {_cause(error, file)}') from error


def _import_what_is_named(value: object) -> None:
    """A config of MMEngine's newer kind names classes, which are imported when they are first looked at."""
    if isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            _import_what_is_named(item)


def _check_kind(file: Path) -> None:
    if file.suffix not in ('.py', '.yaml', '.yml', '.json'):
        raise ConfigError(f'{file}: expected a config, which is a .py file (or .yaml or .json), found '
                          f'{file.suffix or "no suffix"}')
    with file.open('rb') as stream:
        pointer = lfs_pointer(stream.read(200))
    if pointer:
        raise ConfigError(f'{file} {pointer}')


def _cause(error: BaseException, file: Path) -> str:
    """What is wrong with a config, and where."""
    if isinstance(error, ImportError):
        if 'mmsegmentation is not installed' in str(error):  # MMEngine's words, of a base `mmseg::...`
            return 'mmsegmentation is not installed; run: pip install -r requirements/depth.txt'
        if (message := user_message(error)) is not None:
            return message
        if str(error).startswith('Failed to import custom modules'):
            return _import_failure(error)
    if isinstance(error, TypeError) and 'in child config cannot inherit from base' in str(error):
        return str(error)
    if isinstance(error, RecursionError):
        return 'its bases, or its values, go round in a circle or are nested too deeply; check `_base_`'
    if isinstance(error, FileNotFoundError):
        return f'{error}; correct the path in `_base_`, which is relative to the file that names it'
    return f'it cannot be evaluated{_line(error, file)}: {summary(error)}'


def _line(error: BaseException, file: Path) -> str:
    """The line of the chain's innermost config that raised the error."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.name == '<module>'
              and Path(frame.filename).suffix == file.suffix]
    return f' ({frames[-1].filename}, line {frames[-1].lineno})' if frames else ''


def _import_failure(error: BaseException) -> str:
    """Why a custom module cannot be imported: what this package says of one of its own, or where it began."""
    while cause := error.__cause__ or error.__context__:
        error = cause
        if isinstance(error, SimIPUError):
            return str(error)
    return (f'custom_imports: {error}; put the folder that holds these modules on the path, such as that of a clone: '
            'PYTHONPATH=/path/to/mmdetection3d')
