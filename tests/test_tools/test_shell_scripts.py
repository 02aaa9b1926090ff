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


def test_install_needs_a_python_that_has_all_wheels(bare_project):
    failed = run(bare_project / 'tools/install.sh', PYTHON='false')
    assert failed.returncode == 1
    assert failed.stderr.count('\n') == 1 and 'needs Python 3.10 to 3.13' in failed.stderr


def test_install_names_missing_debian_packages(bare_project):
    failed = run(bare_project / 'tools/install.sh', PYTHON=sys.executable, CXX='no-such-compiler')
    assert failed.returncode == 1 and 'apt-get install -y g++' in failed.stderr
    assert not (bare_project / '.venv').exists()


FAKE_PYTHON = '''#!/bin/bash
# Pretends to be an environment in which everything is installed, or becomes so by pip. Only versions
# are looked up, among what lies in the folder INSTALLED; mmcv gets there by a wheel, if there is one.
add() {
    mkdir -p "$INSTALLED/$1-$2.dist-info"
    printf 'Metadata-Version: 2.1\\nName: %s\\nVersion: %s\\n' "$1" "$2" > "$INSTALLED/$1-$2.dist-info/METADATA"
}
case "$*" in
    *"-m pip"*" install "*|*"-m pip wheel"*)
        echo "$@${CUDA_VISIBLE_DEVICES+ without GPU}" >> "$CALLS"
        [[ "$*" != *"$PIP_FAILS_ON"* ]] || exit 1
        case "$*" in
            *torch==*) add torch 2.13.0 ;;
            *"pip wheel"*) touch "$INSTALLED/wheel" ;;
            *"--only-binary mmcv"*) [[ ! -e "$INSTALLED/wheel" ]] || add mmcv 2.1.0 ;;
        esac ;;
    *importlib.metadata*) PYTHONPATH=$INSTALLED exec "$REAL_PYTHON" -S "$@" ;;
    *sys.version_info*) exec "$REAL_PYTHON" -c "import sys; sys.version_info = ($FAKE_VERSION); $2" ;;
    *pip._vendor*) exec "$REAL_PYTHON" "$@" ;;
    *torch.cuda*) [[ -n "$HAS_GPU" ]] ;;
    *) exit 0 ;;
esac
'''


@pytest.fixture
def install(bare_project, tmp_path):
    """Runs install.sh in an environment whose Python only writes down what pip is asked for."""
    calls, environment, installed = (tmp_path / name for name in ('calls', 'some env', 'installed'))
    python = environment / 'bin' / 'python'
    python.parent.mkdir(parents=True)
    installed.mkdir()
    python.write_text(FAKE_PYTHON)
    python.chmod(0o755)

    def once(pip_fails_on='no command', torch=None, python='3, 11', gpu=False, ready_wheel=False, **variables):
        calls.write_text('')
        if ready_wheel:
            (installed / 'wheel').touch()
        if torch:
            metadata = installed / f'torch-{torch}.dist-info' / 'METADATA'
            metadata.parent.mkdir(parents=True)
            metadata.write_text(f'Metadata-Version: 2.1\nName: torch\nVersion: {torch}\n')
        settings = dict(SIMIPU_ENV=environment, CALLS=calls, PIP_FAILS_ON=pip_fails_on, INSTALLED=installed,
                        REAL_PYTHON=sys.executable, FAKE_VERSION=python, HAS_GPU='1' if gpu else '',
                        XDG_CACHE_HOME=tmp_path / 'cache', **variables)
        done = run(bare_project / 'tools/install.sh', **{name: str(value) for name, value in settings.items()})
        return done, calls.read_text().splitlines()
    return once


STEPS = {'torch==': 'torch', 'requirements/build.txt': 'build tools', '--only-binary mmcv': 'mmcv from a wheel',
         'pip wheel': 'mmcv compiled', 'mmcv-lite': 'mmcv-lite', '-r requirements/tests.txt': 'requirements',
         '--no-deps mmdet3d': 'mmdet3d alone', '-e .': 'simipu'}


def steps(calls):
    return [next(step for words, step in STEPS.items() if words in call) for call in calls]


def test_install_builds_mmcv_after_torch_and_before_the_rest(install):
    done, calls = install()
    assert done.returncode == 0, done.stderr
    assert steps(calls) == ['torch', 'build tools', 'mmcv from a wheel', 'mmcv compiled', 'mmcv from a wheel',
                            'requirements', 'simipu']
    assert '--no-build-isolation' in calls[3] and 'without GPU' not in calls[3] and done.stderr == ''


def test_install_compiles_nothing_where_there_is_a_wheel(install):
    done, calls = install(ready_wheel=True)
    assert done.returncode == 0, done.stderr
    assert steps(calls) == ['torch', 'build tools', 'mmcv from a wheel', 'requirements', 'simipu']


def test_install_without_a_cuda_compiler_builds_mmcv_for_the_cpu(install, echo):
    path = os.pathsep.join(folder for folder in os.environ['PATH'].split(os.pathsep)
                           if not Path(folder, 'nvcc').exists())
    done, calls = install(gpu=True, torch='2.13.0', PATH=path, CUDA_HOME='')
    assert done.returncode == 0, done.stderr
    assert done.stderr.count('\n') == 1 and 'mmcv is compiled for the CPU' in done.stderr
    assert [step for step, call in zip(steps(calls), calls) if 'without GPU' in call] == ['mmcv compiled']


def test_install_with_a_cuda_compiler_builds_mmcv_for_the_gpu(install, echo):
    done, calls = install(gpu=True, torch='2.13.0', PATH=echo('nvcc'))
    assert done.returncode == 0 and done.stderr == ''
    assert 'mmcv compiled' in steps(calls) and not any('without GPU' in call for call in calls)


def test_install_without_operators(install):
    done, calls = install(MMCV_WITH_OPS='0')
    assert done.returncode == 0, done.stderr
    assert steps(calls) == ['torch', 'build tools', 'mmcv-lite', 'requirements', 'simipu']


def test_install_without_operators_keeps_an_mmcv_that_has_them(install, bare_project):
    install(ready_wheel=True)
    (bare_project / 'setup.py').write_text('# changed\n')
    done, calls = install(MMCV_WITH_OPS='0')
    assert done.returncode == 0, done.stderr
    assert 'simipu' in steps(calls) and 'mmcv-lite' not in steps(calls)


def test_install_where_numpy_1_has_no_wheels(install):
    done, calls = install(python='3, 13')
    assert done.returncode == 0, done.stderr
    assert steps(calls)[-3:] == ['requirements', 'mmdet3d alone', 'simipu']
    assert 'requirements/python3.13.txt' in calls[-3]


@pytest.mark.parametrize('torch', ['2.13.0', '2.1.2+cu121'])
def test_install_keeps_the_torch_that_is_there(torch, install):
    done, calls = install(torch=torch)
    assert done.returncode == 0, done.stderr
    assert 'torch' not in steps(calls) and 'simipu' in steps(calls)


@pytest.mark.parametrize('torch', ['1.13.1+cu117', '2.0.1', '2.15.0'])
def test_install_replaces_no_other_torch(torch, install):
    done, calls = install(torch=torch)
    assert done.returncode == 1 and calls == []
    assert f'found torch {torch} in' in done.stderr and 'torch>=2.1,<2.15' in done.stderr


def test_install_does_nothing_the_second_time(install, bare_project):
    install()
    done, calls = install()
    assert (done.returncode, done.stdout, calls) == (0, '', [])
    for name in ('pyproject.toml', 'requirements.txt'):
        (bare_project / name).write_text((bare_project / name).read_text() + '# changed\n')
        assert install()[1] != [], name


def test_install_stops_with_the_reason_and_can_be_repeated(install):
    done, calls = install(pip_fails_on='pip wheel')
    assert done.returncode == 1 and steps(calls)[-2:] == ['mmcv compiled'] * 2  # the second time with usual flags
    assert 'failed: mmcv; the whole output is in' in done.stderr
    done, calls = install()
    assert done.returncode == 0 and steps(calls)[-1] == 'simipu'
