"""Are the installed libraries those that this project was tried with, or known not to work with it?"""
import os
import platform
import warnings
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from .errors import DependencyError

TRIED_PYTHON = '>=3.10,<3.14'
_SKIP_VARIABLE = 'SIMIPU_SKIP_VERSION_CHECK'
# What is installed by another name may hold the same package.
_OTHER_NAMES = {'mmcv': ('mmcv-lite', 'onedl-mmcv'), 'mmengine': ('onedl-mmengine', ), 'mmdet': ('onedl-mmdetection', )}
# Requirements that together are known not to work, and why.
_KNOWN_NOT_TO_WORK = (
    (('torch<2.1', ), 'checkpoints are read with torch.load(mmap=True), which is of torch 2.1'),
    (('torch<2.3', 'numpy>=2'), 'torch before 2.3 cannot exchange arrays with numpy 2'),
    (('mmcv>=2.2', ), 'mmdet 3.3 and mmdet3d 1.4 refuse it'),
    (('mmcv<2.0.0rc4', ), 'mmdet 3.3 and mmdet3d 1.4 refuse it'),
    (('mmdet>=3.4', ), 'mmdet3d 1.4 refuses it'),
    (('mmengine<0.8', ), 'mmdet3d 1.4 refuses it'),
)


def check_versions() -> None:
    """Compare what is installed with the requirements, unless the environment says not to.

    Warns of versions that were not tried (docs/install.md has the table).

    Raises:
        DependencyError: Names every package that is missing or has a version known not to work, and the remedy.
    """
    if os.environ.get(_SKIP_VARIABLE, '0') not in ('', '0'):
        return
    wanted = requirements()
    obstacles = find_obstacles(wanted)
    if obstacles:
        raise DependencyError('simipu cannot work with what is installed here:\n' + _lines(obstacles)
                              + f'{_remedy(wanted)}; to go on at your own risk, set {_SKIP_VARIABLE}=1')
    untried = find_untried(wanted)
    if untried:
        warnings.warn('simipu was not tried with what is installed here, and may or may not work:\n' + _lines(untried)
                      + f'{_remedy(wanted)}; to silence this, set {_SKIP_VARIABLE}=1', stacklevel=3)


def requirements() -> list[Requirement]:
    """Those of ``requirements.txt`` in a checkout, else of the installed package's metadata."""
    root = Path(__file__).resolve().parents[2]
    if (root / 'requirements.txt').is_file() and (root / 'setup.py').is_file():
        lines = (root / 'requirements.txt').read_text().splitlines()
        return applicable(line for line in lines if line.strip() and not line.startswith('#'))
    return applicable(metadata.requires('simipu') or [])


def find_obstacles(wanted: Iterable[Requirement]) -> list[str]:
    """One sentence for each package that is missing or known not to work."""
    missing = [f'{item.name}: not installed; tried: {item.specifier or "any"}' for item in wanted
               if installed_version(item.name) is None]
    return missing + [f'{", ".join(_found(Requirement(line).name) for line in lines)}: {reason}'
                      for lines, reason in _KNOWN_NOT_TO_WORK if all(map(_is_met, map(Requirement, lines)))]


def find_untried(wanted: Iterable[Requirement]) -> list[str]:
    """One sentence for each installed package, or this Python, that is outside the range that was tried."""
    untried = [f'{_found(item.name)}; tried: {item.specifier}' for item in wanted if not _is_met(item)]
    if not SpecifierSet(TRIED_PYTHON).contains(platform.python_version(), prereleases=True):
        untried.insert(0, f'found Python {platform.python_version()}; tried: {TRIED_PYTHON}')
    return untried


def installed_version(package: str) -> str | None:
    """Of ``package``, or of another that holds the same modules; None where there is none."""
    for name in (package, *_OTHER_NAMES.get(package, ())):
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            pass
    return None


def applicable(lines: Iterable[str]) -> list[Requirement]:
    """Without those of extras, other Pythons or other platforms, and without spconv.

    Of spconv there are several builds, one of which is enough, and models without it need none.
    """
    wanted = [Requirement(line) for line in lines]
    return [item for item in wanted if not item.name.startswith('spconv')
            and (item.marker is None or item.marker.evaluate({'extra': ''}))]


def _is_met(wanted: Requirement) -> bool:
    found = installed_version(wanted.name)
    return found is not None and wanted.specifier.contains(found, prereleases=True)


def _found(package: str) -> str:
    return f'found {package} {installed_version(package)}'


def _lines(sentences: Iterable[str]) -> str:
    return ''.join(f'  {sentence}\n' for sentence in sentences)


def _remedy(wanted: Iterable[Requirement]) -> str:
    """How to get to what was tried, named whole."""
    tried = ', '.join(f'{item.name}{item.specifier}' for item in wanted if item.specifier)
    return f'Tried were Python {TRIED_PYTHON} and {tried}: run `bash tools/install.sh`, or pip install these'
