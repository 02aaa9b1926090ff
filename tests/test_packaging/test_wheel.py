"""The wheel, installed beside the dependencies and without the checkout, is of use by itself."""
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from simipu.datasets.converters import create_kitti_infos
from simipu.scenes import generate_dataset

PROJECT = Path(__file__).resolve().parents[2]
SMALL = '''
_base_ = 'simipu::simipu_synthetic.py'
train_dataloader = dict(batch_size=2, num_workers=0, persistent_workers=False)
train_cfg = dict(max_iters=2)
default_hooks = dict(logger=dict(interval=1), checkpoint=dict(interval=2))
'''


def run(*command, cwd) -> str:
    environment = {name: value for name, value in os.environ.items() if name != 'PYTHONPATH'}
    done = subprocess.run(list(map(str, command)), cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope='module')
def wheel(tmp_path_factory) -> Path:
    """Built from a copy, since a build leaves files in the folder that the next one would take up."""
    source, out = tmp_path_factory.mktemp('source') / 'simipu', tmp_path_factory.mktemp('wheel')
    shutil.copytree(PROJECT, source, symlinks=True, ignore=shutil.ignore_patterns(
        '.*env*', '.git', '__pycache__', '*.egg-info', 'build', 'work_dirs', 'data', 'site'))
    run(sys.executable, '-m', 'pip', 'wheel', '--no-deps', '--no-build-isolation', '--no-index', '-w', out, source,
        cwd=out)
    return next(out.glob('simipu-*.whl'))


@pytest.fixture(scope='module')
def python(wheel, tmp_path_factory) -> Path:
    """The Python of an environment that holds the wheel, and sees the dependencies of this one."""
    folder = tmp_path_factory.mktemp('environment')
    venv.create(folder)
    site = Path(sysconfig.get_path('purelib', 'venv', dict(base=folder, platbase=folder)))
    (site / 'dependencies.pth').write_text(sysconfig.get_path('purelib'))
    run(sys.executable, '-m', 'pip', 'install', '--no-deps', '--no-index', '--target', site, wheel, cwd=folder)
    return folder / 'bin' / 'python'


def files_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob('*')
            if path.is_file() and '__pycache__' not in path.parts}


def test_wheel_holds_configs_tools_and_metadata(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    configs = {f'simipu/.mim/configs/{name}' for name in files_below(PROJECT / 'configs')}
    assert {name for name in names if name.startswith('simipu/.mim/configs/')} == configs
    assert {name for name in names if name.endswith('.py') and '.mim' not in name} == {
        f'simipu/{name}' for name in files_below(PROJECT / 'projects/simipu')
        if name.endswith('.py') and '.mim' not in name}
    assert names >= {'simipu/py.typed', 'simipu/.mim/tools/train.py', 'simipu/.mim/model-index.yml',
                     'simipu/datasets/converters/frame_schema.json'}
    assert any(name.endswith('LICENSE') for name in names)
    assert not any('__pycache__' in name or name.endswith('.sh') for name in names)


def test_installed_wheel_trains_from_another_folder(python, tmp_path):
    generate_dataset(tmp_path / 'data', 6, seed=0, image_size=(96, 32), num_workers=1, val_fraction=0.34)
    create_kitti_infos(tmp_path / 'data', tmp_path / 'data', num_workers=1)
    (tmp_path / 'mine.py').write_text(SMALL)
    script = next(python.parents[1].glob('lib/*/site-packages/bin/simipu'))
    where = run(python, '-c', 'from importlib.util import find_spec; print(find_spec("simipu").origin)', cwd=tmp_path)
    assert where.startswith(str(python.parents[1]))
    output = run(python, script, 'train', 'mine.py', '--data-root', 'data', cwd=tmp_path)
    assert 'Iter(train) [2/2]' in output
    assert (tmp_path / 'work_dirs/mine/iter_2.pth').is_file()
