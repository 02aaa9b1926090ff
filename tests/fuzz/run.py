"""Try all malformed inputs and print what the program made of them.

    python tests/fuzz/run.py
    python tests/fuzz/run.py clouds infos --seeds 3

Exit code 1 if one of them ended in a failure: a traceback, a hang, a wrong result, or executed code.
"""
import argparse
import contextlib
import inspect
import io
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parent))
from outcomes import Case, Outcome, Result, table, try_case

SUITES = sorted(path.stem.removesuffix('_cases') for path in Path(__file__).parent.glob('*_cases.py'))


def cases(suite: str, seed: int = 0) -> Iterator[Case]:
    """The cases of a suite; those without random mutations for the first seed only."""
    make = import_module(f'{suite}_cases').cases
    if 'seed' in inspect.signature(make).parameters:
        yield from make(seed=seed)
    elif seed == 0:
        yield from make()


def try_all(chosen: list[Case]) -> list[tuple[Case, Result]]:
    """Each case in an empty folder, without what it prints."""
    results = []
    for number, case in enumerate(chosen):
        if number % 50 == 0:
            print(f'{case.group}: {number} of {len(chosen)}', file=sys.__stderr__, flush=True)
        with TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()), (
                contextlib.redirect_stderr(io.StringIO())):
            results.append((case, try_case(case, Path(folder))))
    return results


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('suites', nargs='*', choices=[*SUITES, []], help=f'some of {", ".join(SUITES)} (default: all)')
    parser.add_argument('--seeds', type=int, default=1, help='how often random mutations are drawn (default: once)')
    parser.add_argument('--messages', action='store_true', help='print every message too')
    args = parser.parse_args()
    results = []
    for suite in args.suites or SUITES:
        for seed in range(args.seeds):
            results += try_all(list(cases(suite, seed)))
    sys.stdout.reconfigure(errors='backslashreplace')  # messages may name what is no Unicode
    if args.messages:
        for case, result in results:
            print(f'{case.group}: {case.name}: {result.outcome}: {result.detail}')
    print(table(results))
    return int(any(result.outcome is Outcome.FAILURE for _, result in results))


if __name__ == '__main__':
    sys.exit(main())
