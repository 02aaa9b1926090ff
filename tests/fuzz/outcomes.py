"""What the program makes of a malformed input: a named error, a counted skip, the right result, or a failure.

A ``Case`` is one malformed input and what is done with it. ``try_case`` runs it in this process with an alarm clock, a
watch on executed code and one on memory, and says which of the four it was.
"""
import contextlib
import faulthandler
import io
import os
import resource
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from simipu import cli
from simipu.errors import SimIPUError, user_message

SECONDS = 20
MAX_MEMORY = 1.5e9  # bytes that a case may add to the largest memory use so far
MAX_MESSAGE = 3000  # characters; nobody reads more
CANARY = Path(tempfile.gettempdir()) / f'simipu_fuzz_canary_{os.getpid()}'
"""What payloads touch when they are executed, be it in a worker process."""
PAYLOAD = f'touch {CANARY}'
"""A shell command that shows that it was executed."""

# Events of Python's audit hooks that name what they are about to do.
_WATCHED = {'compile', 'open', 'os.system', 'os.exec', 'os.posix_spawn', 'os.spawn', 'os.mkdir', 'os.putenv',
            'subprocess.Popen', 'import'}


class Outcome(StrEnum):
    """The kinds of results, in the order of the table."""
    NAMED_ERROR = 'named error'
    SKIPPED = 'counted skip'
    RIGHT = 'accepted and right'
    FAILURE = 'failure'


class Result(NamedTuple):
    """An outcome, and the message or what is wrong."""
    outcome: Outcome
    detail: str = ''


class Case(NamedTuple):
    """A malformed input.

    Attributes:
        group: Kind of input, a row of the table.
        name: Of the mutation.
        run: Is given an empty folder, writes the input there and feeds it to the program.
        judge: Looks at what ``run`` returned: None if that is right for this mutation, ``Outcome.SKIPPED`` if the
            program said that it left something out, else in words what is wrong. By default, nothing is right: the
            input must be refused.
    """
    group: str
    name: str
    run: Callable[[Path], Any]
    judge: Callable[[Any], str | Outcome | None] = lambda found: f'was accepted: {found!r:.200}'


class _Hang(BaseException):
    """Not an Exception, which the program may catch."""


class _Execution:
    """Whether a payload ran. Audit hooks cannot be removed, so there is one for all cases."""

    seen = ''
    _installed = False

    @classmethod
    def watch(cls) -> None:
        cls.seen = ''
        CANARY.unlink(missing_ok=True)
        if not cls._installed:
            sys.addaudithook(cls._hook)
            cls._installed = True

    @classmethod
    def happened(cls) -> str:
        found = cls.seen or (CANARY.exists() and f'{CANARY} was made')
        CANARY.unlink(missing_ok=True)
        return found or ''

    @classmethod
    def _hook(cls, event: str, args: tuple) -> None:
        if event in _WATCHED and any(CANARY.name in repr(arg) for arg in args if isinstance(arg, (str, bytes, list))):
            cls.seen = event


def try_case(case: Case, folder: Path, seconds: float = SECONDS) -> Result:
    """Run a case in an empty folder, which is the working directory meanwhile."""
    _Execution.watch()
    before = _peak_memory()
    try:
        with contextlib.chdir(folder), _alarm(seconds):
            result = _judged(case.judge(case.run(folder)))
    except _Hang:
        result = Result(Outcome.FAILURE, f'hung for {seconds} s')
    except (Exception, SystemExit) as error:
        result = _of_error(error)
    executed = _Execution.happened()
    if executed:
        return Result(Outcome.FAILURE, f'code was executed: {executed}')
    if _peak_memory() - before > MAX_MEMORY:
        return Result(Outcome.FAILURE, f'took {(_peak_memory() - before) / 1e9:.1f} GB more memory')
    return result


def run_command(*argv: str) -> str:
    """What ``simipu ARGV`` prints.

    Raises:
        SimIPUError: The command ended with an error of its own or, as check-dataset does, with findings.
    """
    output = io.StringIO()
    code = 0
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        try:
            cli.main(argv)
        except SystemExit as error:
            code = error.code or 0
    if isinstance(code, str):
        raise SystemExit(code)
    text = output.getvalue()
    if code:
        if 'Traceback (most recent call last)' in text or not ('error: ' in text or 'FAILED: ' in text):
            raise AssertionError(f'exit code {code} without a message: {text[-500:]}')
        raise SimIPUError(text[-MAX_MESSAGE:])
    return text


def table(results: Iterable[tuple[Case, Result]]) -> str:
    """The numbers of outcomes by group, as a table of Markdown, and each failure in a line below."""
    results = list(results)
    groups = {case.group: Counter() for case, _ in results}
    for case, result in results:
        groups[case.group][result.outcome] += 1
    groups['all'] = sum(groups.values(), Counter())
    lines = [f'| input | cases | {" | ".join(Outcome)} |', '|---' * (len(Outcome) + 2) + '|']
    lines += [f'| {group} | {counts.total()} | {" | ".join(str(counts[outcome]) for outcome in Outcome)} |'
              for group, counts in groups.items()]
    return '\n'.join([*lines, '', *(f'FAILURE {case.group}: {case.name}: {result.detail}'
                                    for case, result in results if result.outcome is Outcome.FAILURE)])


@contextlib.contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    """Raise ``_Hang`` in what takes longer; end the process where that is not heard, as in compiled code."""
    def ring(*_):
        raise _Hang

    former = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds, 1)  # again, where the first one was caught
    faulthandler.dump_traceback_later(seconds + 60, exit=True, file=sys.__stderr__)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)
        faulthandler.cancel_dump_traceback_later()


def _judged(verdict: str | Outcome | None) -> Result:
    if verdict is None:
        return Result(Outcome.RIGHT)
    return Result(verdict) if isinstance(verdict, Outcome) else Result(Outcome.FAILURE, verdict)


def _of_error(error: BaseException) -> Result:
    if isinstance(error, SystemExit):
        message = str(error.code).removeprefix('error: ') if str(error.code).startswith('error: ') else None
    else:
        message = user_message(error)
    if message is None:
        return Result(Outcome.FAILURE, f'{type(error).__name__}: {error}'[:MAX_MESSAGE])
    if not message.strip() or len(message) > MAX_MESSAGE or 'Traceback (most recent call last)' in message:
        return Result(Outcome.FAILURE, f'a message that nobody can use: {message[:200]!r} ({len(message)} characters)')
    return Result(Outcome.NAMED_ERROR, message)


def _peak_memory() -> int:
    """Bytes that this process has held at most, ever."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
