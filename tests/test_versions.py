"""The check of installed versions."""
import os
import platform
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from simipu import versions

PROJECT = Path(__file__).resolve().parents[1]


PACKAGE = 'Metadata-Version: 2.1\nName: {}\nVersion: {}\n'


@pytest.fixture
def installed(monkeypatch):
    """Pretends that just the given packages are installed, in the given versions."""
    def pretend(**packages):
        versions_of = {name.replace('_', '-'): version for name, version in packages.items()}

        def version(name):
            if name not in versions_of:
                raise metadata.PackageNotFoundError(name)
            return versions_of[name]

        monkeypatch.setattr(metadata, 'version', version)
    return pretend


def import_simipu(tmp_path, package, version, python_code='import simipu'):
    """In a process that finds, before all others, a package of an unusual version."""
    fake = tmp_path / f'{package}-{version}.dist-info'
    fake.mkdir()
    (fake / 'METADATA').write_text(PACKAGE.format(package, version))
    path = os.pathsep.join([str(tmp_path), str(PROJECT / 'projects')])
    return subprocess.run([sys.executable, '-c', python_code], capture_output=True, text=True,
                          env=dict(os.environ, PYTHONPATH=path))


def test_this_environment_works():
    assert versions.find_obstacles(versions.requirements()) == []


def test_requirements_name_the_libraries_that_were_tried():
    assert {item.name for item in versions.requirements()} >= {'torch', 'mmengine', 'mmcv', 'mmdet', 'mmdet3d', 'numpy'}


def test_the_tried_pythons_are_those_of_the_metadata():
    project = (PROJECT / 'pyproject.toml').read_text()
    named = re.findall(r'Python :: (3\.\d+)"', project)
    tried = SpecifierSet(versions.TRIED_PYTHON)
    assert [f'3.{minor}' for minor in range(30) if tried.contains(f'3.{minor}')] == named


@pytest.mark.parametrize('packages, reason', [
    (dict(torch='2.0.1', numpy='1.26.4'), 'found torch 2.0.1: checkpoints are read with torch.load(mmap=True)'),
    (dict(torch='2.2.2+cu121', numpy='2.0.0'), 'found torch 2.2.2+cu121, found numpy 2.0.0: torch before 2.3 cannot'),
    (dict(mmcv='2.2.0'), 'found mmcv 2.2.0: mmdet 3.3 and mmdet3d 1.4 refuse it'),
    (dict(onedl_mmcv='2.3.6'), 'found mmcv 2.3.6: mmdet 3.3'),
    (dict(onedl_mmdetection='3.5.1'), 'found mmdet 3.5.1: mmdet3d 1.4 refuses it'),
])
def test_known_obstacles_are_told_with_their_reason(packages, reason, installed):
    installed(**packages)
    obstacle, = versions.find_obstacles([])
    assert obstacle.startswith(reason)


@pytest.mark.parametrize('packages', [
    dict(torch='2.1.2+cu121', numpy='1.26.4'), dict(torch='2.3.0', numpy='2.0.0'), dict(mmcv_lite='2.1.0'), {}])
def test_what_may_work_is_no_obstacle(packages, installed):
    installed(**packages)
    assert versions.find_obstacles([]) == []


def test_what_is_missing_is_an_obstacle(installed):
    installed(onedl_mmengine='0.10.12')
    wanted = versions.applicable(['mmengine>=0.10.7', 'mmdet>=3.3', 'x<1; python_version < "3"',
                                  'y<1; extra == "tests"', 'spconv-cu120>=2'])
    assert versions.find_obstacles(wanted) == ['mmdet: not installed; tried: >=3.3']


def test_what_was_not_tried_is_named_with_what_was(installed, monkeypatch):
    installed(torch='2.13.0+cu130', mmdet='3.2.0')
    wanted = versions.applicable(['torch>=2.1,<2.14', 'mmdet>=3.3'])
    assert versions.find_untried(wanted) == ['found mmdet 3.2.0; tried: >=3.3']
    monkeypatch.setattr(platform, 'python_version', lambda: '3.14.1')
    assert versions.find_untried(wanted)[0] == f'found Python 3.14.1; tried: {versions.TRIED_PYTHON}'


def test_metadata_are_the_source_where_there_is_no_checkout(monkeypatch):
    monkeypatch.setattr(versions, '__file__', '/lib/python/site-packages/simipu/versions.py')
    monkeypatch.setattr(metadata, 'requires', lambda name: [f'{name}-needs-this'])
    assert [item.name for item in versions.requirements()] == ['simipu-needs-this']


def test_importing_simipu_fails_early_with_a_remedy(tmp_path):
    done = import_simipu(tmp_path, 'mmcv', '2.2.0')
    assert done.returncode == 1
    assert 'found mmcv 2.2.0: mmdet 3.3 and mmdet3d 1.4 refuse it' in done.stderr
    assert 'tools/install.sh' in done.stderr and 'SIMIPU_SKIP_VERSION_CHECK=1' in done.stderr


def test_importing_simipu_warns_of_what_was_not_tried(tmp_path):
    done = import_simipu(tmp_path, 'mmdet', '3.2.9')
    assert done.returncode == 0, done.stderr
    assert 'UserWarning: simipu was not tried with' in done.stderr
    assert 'found mmdet 3.2.9; tried: <3.4,>=3.3.0' in done.stderr
    assert 'torch<2.15,>=2.1, ' in done.stderr and 'SIMIPU_SKIP_VERSION_CHECK=1' in done.stderr


def test_the_check_can_be_skipped(monkeypatch):
    monkeypatch.setattr(versions, 'requirements', lambda: versions.applicable(['no-such-package<1']))
    with pytest.raises(ImportError, match='no-such-package: not installed'):
        versions.check_versions()
    monkeypatch.setenv('SIMIPU_SKIP_VERSION_CHECK', '1')
    versions.check_versions()


def test_setup_reads_name_and_version(monkeypatch):
    monkeypatch.chdir(PROJECT)
    shown = subprocess.run([sys.executable, 'setup.py', '--name', '--version'],
                           capture_output=True, text=True)
    assert shown.stdout.split()[:2] == ['simipu', '0.1.0'], shown.stderr
