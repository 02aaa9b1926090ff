"""Tells a user's mistakes, which need one clear message, from faults of the program."""
import re
import traceback
from pathlib import Path
from typing import Optional

_PACKAGE = str(Path(__file__).resolve().parent)
_WORKER_TRACE = 'Original Traceback (most recent call last):'


def user_message(error: BaseException) -> Optional[str]:
    """The message of an error that this package raised on purpose, else ``None``.

    On purpose means by a ``raise`` statement of its own. MMEngine's registries and PyTorch's data
    loader raise anew, in their own words, what a constructor or a worker process raised; the first
    error's message is returned then.
    """
    while error.__cause__ or (error.__context__ and not error.__suppress_context__):
        if _raised_here(error):
            break
        error = error.__cause__ or error.__context__
    text = str(error)
    if _WORKER_TRACE in text:
        return _worker_message(type(error).__name__, text)
    return text if _raised_here(error) else None


def _raised_here(error: BaseException) -> bool:
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and _is_raise(frames[-1].filename, frames[-1].line or '')


def _is_raise(filename: str, line: str) -> bool:
    return filename.startswith(_PACKAGE) and line.strip().startswith('raise ')


def _worker_message(kind: str, text: str) -> Optional[str]:
    """The message at the end of the traceback that a worker process of a data loader sent."""
    filename, line = re.findall(r'File "([^"]+)", line \d+, in .*\n(.*)', text)[-1]
    if not _is_raise(filename, line):
        return None
    # The last of several, where one error was raised from another.
    return re.split(rf'^[\w.]*{kind}: ', text, flags=re.MULTILINE)[-1].strip()
