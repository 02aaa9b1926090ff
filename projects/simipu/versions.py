"""Are the installed libraries those that this project was tried with?"""
import os
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from .errors import DependencyError

_SKIP_VARIABLE = 'SIMIPU_SKIP_VERSION_CHECK'


def check_versions() -> None:
    """Compare the installed versions with the requirements, unless the environment says not to.

    Raises:
        DependencyError: Names every package that is missing or outside the tried range, and the remedy.
    """
    if os.environ.get(_SKIP_VARIABLE, '0') in ('', '0'):
        problems = find_problems(requirements())
        if problems:
            raise DependencyError(
                'simipu was not tried with what is installed here:\n'
                + ''.join(f'  {problem}\n' for problem in problems)
                + 'Run `bash tools/install.sh`, or pip install the versions above; to go on at your own '
                f'risk, set {_SKIP_VARIABLE}=1')


def requirements() -> list[str]:
    """The requirements: ``requirements.txt`` in a checkout, else the installed package's metadata."""
    root = Path(__file__).resolve().parents[2]
    if (root / 'requirements.txt').is_file() and (root / 'setup.py').is_file():
        lines = (root / 'requirements.txt').read_text().splitlines()
        return [line for line in lines if line.strip() and not line.startswith('#')]
    return metadata.requires('simipu') or []


def find_problems(lines: Iterable[str]) -> list[str]:
    """One sentence for each requirement that the environment does not meet.

    Args:
        lines: Requirements as pip reads them; those of extras or other platforms are left out.
    """
    wanted = [Requirement(line) for line in lines]
    wanted = [item for item in wanted if item.marker is None or item.marker.evaluate({'extra': ''})]
    return [problem for problem in map(_problem, wanted) if problem]


def _problem(wanted: Requirement) -> str:
    try:
        found = metadata.version(wanted.name)
    except metadata.PackageNotFoundError:
        return f'{wanted.name}: not installed; tried range {wanted.specifier or "any"}'
    if wanted.specifier.contains(found, prereleases=True):
        return ''
    return f'{wanted.name}: found {found}; tried range {wanted.specifier}'
