"""Errors that a user can mend, each one message, apart from faults of the program."""
import errno
import re
import traceback

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
_WORKER_TRACE = 'Original Traceback (most recent call last):'


class SimIPUError(ValueError):
    """Something the user can mend: a config, a file, an installation.

    The message names the file, field or option, what was expected, what was found and what to do, so that
    command lines print it alone, without a traceback.
    """


class ConfigError(SimIPUError):
    """An option, a config or a call that cannot work."""


class DataError(SimIPUError):
    """A file or field of the data set is missing, broken or does not fit the rest."""


class CheckpointError(SimIPUError):
    """A file of weights is missing, broken, or of another model."""


class OutputError(SimIPUError):
    """A file cannot be written."""


class TrainingError(SimIPUError):
    """A training that cannot go on, although its config and files are in order."""


class ProcessError(SimIPUError):
    """A process that did part of the work ended before it was done."""


class DependencyError(SimIPUError, ImportError):
    """A package that is needed is missing, or has a version that is known not to work."""


def user_message(error: BaseException) -> str | None:
    """The message of the ``SimIPUError`` that ``error`` is or was raised from, or of a file; else ``None``.

    Errors of the operating system about a file are the user's to mend wherever they arise, be it in a library.
    PyTorch's data loader raises what a worker process raised anew, with the worker's traceback as its
    message; the message at the end of that is returned then. MMEngine raises a failed import of a config's
    ``custom_imports`` anew without naming its cause.
    """
    first = error
    while error is not None and not isinstance(error, SimIPUError):
        error = error.__cause__ or (error.__context__ if isinstance(error, ImportError) else None)
    if error is None:
        return _of_file(first)
    if _WORKER_TRACE not in str(error):
        return str(error)
    # The last of several, where one error was raised from another.
    return re.split(rf'^[\w.]*{type(error).__name__}: ', str(error), flags=re.MULTILINE)[-1].strip()


def summary(error: BaseException) -> str:
    """Type and message of any error; of one without a message, such as a bare assertion, the line that raised it."""
    message = str(error) or traceback.extract_tb(error.__traceback__)[-1].line
    return f'{type(error).__name__}: {message}'


def _of_file(error: BaseException) -> str | None:
    """What the operating system, or a library in its name, says of a file that cannot be read or written."""
    if isinstance(error, ValueError) and 'embedded null' in str(error):
        return 'a path holds a zero byte, which no path may; correct it'
    if not isinstance(error, OSError):
        return None
    if error.errno in DISK_FULL:
        return f'{error.filename or "a file"} cannot be written ({error.strerror}); free some space'
    if error.filename is not None and error.strerror:
        return f'{error.filename}: {error.strerror}; check the path, and that you may read or write there'
    if isinstance(error, (FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError, PermissionError)):
        return f'{error}; check the path, and that you may read or write there'
    return None
