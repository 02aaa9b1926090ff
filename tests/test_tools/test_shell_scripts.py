"""The shell scripts, with stand-ins for the programs that they start."""
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
SCRIPTS = sorted([*PROJECT.glob('tools/*.sh'), PROJECT / '.ci' / 'run'])


def run(*command, **variables):
    environment = {name: value for name, value in os.environ.items()
                   if name not in ('VIRTUAL_ENV', 'CONDA_PREFIX', 'SIMIPU_ENV', 'PYTHON')}
    return subprocess.run(['bash', *map(str, command)], env=dict(environment, **variables),
                          capture_output=True, text=True, stdin=subprocess.DEVNULL)


@pytest.fixture
def echo(tmp_path):
    """A folder with programs of given names that print how they are called."""
    def install(*names):
        for name in names:
            program = tmp_path / 'bin' / name
            program.parent.mkdir(exist_ok=True)
            program.write_text('#!/bin/bash\necho "$(basename $0)" "$@"\n')
            program.chmod(0o755)
        return f'{tmp_path}/bin:{os.environ["PATH"]}'
    return install


@pytest.mark.parametrize('script', SCRIPTS, ids=lambda script: script.name)
def test_syntax(script):
    assert run('-n', script).returncode == 0


@pytest.mark.parametrize('name', ['gpu_report.sh', 'install.sh', 'run_tests.sh'])
def test_help_explains_the_script(name):
    shown = run(PROJECT / 'tools' / name, '--help')
    assert shown.returncode == 0 and f'bash tools/{name}' in shown.stdout
    assert 'set -euo' not in shown.stdout


@pytest.mark.parametrize('name, arguments', [
    ('dist_train.sh', []), ('dist_train.sh', ['config.py']), ('dist_train.sh', ['config.py', '--amp']),
    ('dist_train.sh', ['config.py', '0']), ('dist_test.sh', ['config.py', 'checkpoint.pth']),
    ('slurm_train.sh', ['partition', 'job', 'config.py'])])
def test_usage_where_arguments_are_missing(name, arguments):
    shown = run(PROJECT / 'tools' / name, *arguments)
    assert shown.returncode == 2 and f'tools/{name}' in shown.stderr


def test_dist_train_on_several_machines(echo):
    shown = run(PROJECT / 'tools/dist_train.sh', 'a config.py', '4', '--amp', '--work-dir', 'x y',
                PATH=echo('python'), VIRTUAL_ENV='x', NNODES='2', NODE_RANK='1', MASTER_ADDR='10.0.0.1',
                PORT='1234')
    assert shown.stdout.split()[:-8] == [
        'python', f'{PROJECT}/tools/torchrun.py', '--nnodes=2', '--node_rank=1', '--master_addr=10.0.0.1',
        '--master_port=1234', '--nproc_per_node=4', f'{PROJECT}/tools/train.py']
    assert shown.stdout.endswith('tools/train.py a config.py --amp --work-dir x y --launcher pytorch\n')


def test_dist_train_on_one_machine_finds_a_free_port_itself(echo):
    shown = run(PROJECT / 'tools/dist_train.sh', 'config.py', '2', PATH=echo('python'), VIRTUAL_ENV='x')
    assert '--standalone --nproc_per_node=2' in shown.stdout and 'port' not in shown.stdout


def test_a_port_in_use_is_one_line():
    with socket.create_server(('', 0)) as server:
        shown = run(PROJECT / 'tools/dist_train.sh', 'config.py', '2', PORT=str(server.getsockname()[1]),
                    PATH=f'{sys.prefix}/bin:{os.environ["PATH"]}', VIRTUAL_ENV=sys.prefix)
    assert shown.returncode == 1 and 'is in use' in shown.stderr and len(shown.stderr.splitlines()) == 1


def test_dist_test(echo):
    shown = run(PROJECT / 'tools/dist_test.sh', 'config.py', 'last.pth', '2', '--work-dir', 'x',
                PATH=echo('python'), VIRTUAL_ENV='x')
    assert '--nproc_per_node=2' in shown.stdout
    assert shown.stdout.endswith('tools/test.py config.py last.pth --work-dir x --launcher pytorch\n')


def test_slurm_train(echo):
    shown = run(PROJECT / 'tools/slurm_train.sh', 'gpu', 'job', 'config.py', 'work', '--amp',
                PATH=echo('python', 'srun'), VIRTUAL_ENV='x', GPUS='4', SRUN_ARGS='--time 1:00')
    assert shown.stdout.startswith('srun -p gpu --job-name=job --gres=gpu:4 --ntasks=4 --ntasks-per-node=4')
    assert '--time 1:00' in shown.stdout
    assert shown.stdout.endswith('train.py config.py --work-dir work --launcher slurm --amp\n')


@pytest.mark.parametrize('code', [75, 0, 1])
def test_slurm_job_is_queued_again_where_the_training_was_told_to_stop(code, echo, tmp_path):
    """The job that is submitted, run with a training that ends with that code."""
    path = echo('python', 'sbatch', 'srun', 'scontrol')
    with open(tmp_path / 'bin/sbatch', 'a') as file:
        file.write(f'cat > "{tmp_path}/job"\n')
    with open(tmp_path / 'bin/srun', 'a') as file:
        file.write(f'exit {code}\n')
    submitted = run(PROJECT / 'tools/slurm_train.sh', 'gpu', 'job', 'a config.py', 'work', '--amp', PATH=path,
                    VIRTUAL_ENV='x', REQUEUE='1', GRACE='60')
    assert '--requeue --open-mode=append --signal=TERM@60' in submitted.stdout, submitted.stderr
    job = run(tmp_path / 'job', PATH=path, SLURM_JOB_ID='7')
    lines = job.stdout.splitlines()
    assert lines[0].endswith('train.py a config.py --work-dir work --launcher slurm --amp --resume')
    assert lines[1:] == (['scontrol requeue 7'] if code == 75 else [])
    assert job.returncode == (0 if code == 75 else code)


@pytest.fixture
def bare_project(tmp_path):
    """A copy of what installing needs, where nothing is installed."""
    root = tmp_path / 'project'
    shutil.copytree(PROJECT / 'tools', root / 'tools')
    shutil.copytree(PROJECT / 'requirements', root / 'requirements')
    for name in ('setup.py', 'pyproject.toml', 'requirements.txt'):
        shutil.copy(PROJECT / name, root)
    return root


def test_install_needs_python_311(bare_project):
    failed = run(bare_project / 'tools/install.sh', PYTHON='false')
    assert failed.returncode == 1
    assert failed.stderr.count('\n') == 1 and 'needs Python 3.11' in failed.stderr


def test_install_names_missing_debian_packages(bare_project):
    failed = run(bare_project / 'tools/install.sh', PYTHON=sys.executable, CXX='no-such-compiler')
    assert failed.returncode == 1 and 'apt-get install -y g++' in failed.stderr
    assert not (bare_project / '.venv').exists()


FAKE_PYTHON = '''#!/bin/bash
# Pretends to be an environment in which everything is installed, or becomes so by pip. Only versions
# are looked up, among what lies in the folder INSTALLED.
case "$*" in
    *"-m pip install"*) echo "$@" >> "$CALLS"; [[ "$*" != *"$PIP_FAILS_ON"* ]] ;;
    *importlib.metadata*) PYTHONPATH=$INSTALLED exec "$REAL_PYTHON" -S "$@" ;;
    *pip._vendor*) exec "$REAL_PYTHON" "$@" ;;
    *torch.cuda*) exit 1 ;;
    *) exit 0 ;;
esac
'''


@pytest.fixture
def install(bare_project, tmp_path):
    """Runs install.sh in an environment whose Python only writes down what pip is asked for."""
    calls, environment, installed = (tmp_path / name for name in ('calls', 'some env', 'installed'))
    python = environment / 'bin' / 'python'
    python.parent.mkdir(parents=True)
    python.write_text(FAKE_PYTHON)
    python.chmod(0o755)

    def once(pip_fails_on='nothing', torch=None):
        calls.write_text('')
        if torch:
            metadata = installed / f'torch-{torch}.dist-info' / 'METADATA'
            metadata.parent.mkdir(parents=True)
            metadata.write_text(f'Metadata-Version: 2.1\nName: torch\nVersion: {torch}\n')
        done = run(bare_project / 'tools/install.sh', SIMIPU_ENV=str(environment), CALLS=str(calls),
                   PIP_FAILS_ON=pip_fails_on, INSTALLED=str(installed), REAL_PYTHON=sys.executable)
        return done, calls.read_text().splitlines()
    return once


def test_install_builds_mmcv_after_torch_and_before_the_rest(install):
    done, calls = install()
    assert done.returncode == 0, done.stderr
    assert [next(word for word in ('torch==', 'setuptools', 'mmcv>=', '-r requirements.txt', '-e .')
                 if word in line.replace('requirements/build.txt', 'setuptools'))
            for line in calls] == ['torch==', 'setuptools', 'mmcv>=', '-r requirements.txt', '-e .']
    assert '--no-build-isolation' in calls[2]
    assert 'about 8 minutes' in done.stdout


@pytest.mark.parametrize('torch', ['2.13.0', '2.13.1+cu126'])
def test_install_keeps_the_torch_that_is_there(torch, install):
    done, calls = install(torch=torch)
    assert done.returncode == 0, done.stderr
    assert len(calls) == 4 and not any('torch==' in line for line in calls)


@pytest.mark.parametrize('torch', ['2.1.2+cu121', '2.12.1', '2.14.0'])
def test_install_replaces_no_other_torch(torch, install):
    done, calls = install(torch=torch)
    assert done.returncode == 1 and calls == []
    assert f'found torch {torch} in' in done.stderr and 'torch>=2.13,<2.14' in done.stderr


def test_install_does_nothing_the_second_time(install, bare_project):
    install()
    done, calls = install()
    assert (done.returncode, done.stdout, calls) == (0, '', [])
    for name in ('pyproject.toml', 'requirements.txt'):
        (bare_project / name).write_text((bare_project / name).read_text() + '# changed\n')
        assert install()[1] != [], name


def test_install_stops_with_the_reason_and_can_be_repeated(install):
    done, calls = install(pip_fails_on='mmcv>=')
    assert done.returncode == 1 and len(calls) == 3
    assert 'failed: mmcv; the whole output is in' in done.stderr
    done, calls = install()
    assert done.returncode == 0 and len(calls) == 5
