"""The check of installed versions."""
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import torch
from packaging.requirements import Requirement

from simipu import versions

PROJECT = Path(__file__).resolve().parents[1]


def test_this_environment_is_supported():
    assert versions.find_problems(versions.requirements()) == []
    versions.check_versions()


def test_requirements_name_the_libraries_that_were_tried():
    names = {Requirement(line).name for line in versions.requirements()}
    assert names >= {'torch', 'mmengine', 'mmcv', 'mmdet', 'mmdet3d', 'numpy'}


@pytest.mark.parametrize('line, problem', [
    ('torch<2', f'torch: found {torch.__version__}; tried range <2'),
    ('no-such-package>=1', 'no-such-package: not installed; tried range >=1'),
])
def test_names_package_version_and_range(line, problem):
    assert versions.find_problems([line, 'numpy>=1']) == [problem]


def test_local_versions_and_other_platforms_pass(monkeypatch):
    monkeypatch.setattr(metadata, 'version', lambda name: '2.13.0+cu130')
    assert versions.find_problems(['torch>=2.13,<2.14']) == []
    assert versions.find_problems(['x<1; python_version < "3"', 'y<1; extra == "tests"']) == []


def test_metadata_are_the_source_where_there_is_no_checkout(monkeypatch):
    monkeypatch.setattr(versions, '__file__', '/lib/python/site-packages/simipu/versions.py')
    monkeypatch.setattr(metadata, 'requires', lambda name: [f'{name}-needs-this'])
    assert versions.requirements() == ['simipu-needs-this']


def test_importing_simipu_fails_early_with_a_remedy(tmp_path):
    """A fake mmcv of an unsupported version, as the only thing wrong."""
    fake = tmp_path / 'mmcv-2.2.0.dist-info'
    fake.mkdir()
    (fake / 'METADATA').write_text('Metadata-Version: 2.1\nName: mmcv\nVersion: 2.2.0\n')
    path = os.pathsep.join([str(tmp_path), str(PROJECT / 'projects')])
    done = subprocess.run([sys.executable, '-c', 'import simipu'], capture_output=True, text=True,
                          env=dict(os.environ, PYTHONPATH=path))
    assert done.returncode == 1
    assert 'mmcv: found 2.2.0; tried range <2.2,>=2.1.0' in done.stderr
    assert 'tools/install.sh' in done.stderr and 'SIMIPU_SKIP_VERSION_CHECK=1' in done.stderr


def test_the_check_can_be_skipped(monkeypatch):
    monkeypatch.setattr(versions, 'requirements', lambda: ['torch<1'])
    with pytest.raises(ImportError, match='torch<1|tried range <1'):
        versions.check_versions()
    monkeypatch.setenv('SIMIPU_SKIP_VERSION_CHECK', '1')
    versions.check_versions()


def test_setup_reads_name_and_version(monkeypatch):
    monkeypatch.chdir(PROJECT)
    shown = subprocess.run([sys.executable, 'setup.py', '--name', '--version'],
                           capture_output=True, text=True)
    assert shown.stdout.split()[:2] == ['simipu', '0.1.0'], shown.stderr
