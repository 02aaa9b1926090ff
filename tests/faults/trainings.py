"""Trainings of the toy in processes of their own, which a test may kill, stop or signal.

Single processes, and ranks without a launcher, are forked from a server that has imported everything: 0.3 s each in
the place of 5 s. Each leads a process group of its own, as a job of a scheduler does, and none outlives its test. All
compute on the CPU, since CUDA works in no fork of a process that has looked for a GPU.
"""
import contextlib
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

import torch

from simipu.checkpoints.reading import read_training_checkpoint

PROJECT = Path(__file__).resolve().parents[2]
TOY = Path(__file__).parent / 'toy'
PATIENCE = 300  # seconds after which a process counts as hung, on a busy machine as well
ALL = bool(os.environ.get('SIMIPU_ALL_FAULTS'))
WITHOUT_GPU = dict(CUDA_VISIBLE_DEVICES='')

_SERVER = multiprocessing.get_context('forkserver')
_SERVER.set_forkserver_preload(['simipu.cli.train', 'torch._dynamo', __name__])


def share(cases, number):
    """All cases in the whole suite, else the first few."""
    return list(cases) if ALL else list(cases)[:number]


class Training:
    """One process, or a launcher with its ranks, whose output goes to a file.

    Attributes:
        pid: Also the number of the process group.
        ranks: Numbers of the processes that train.
    """

    def __init__(self, pid, wait, output, ranks):
        self.pid, self._wait, self._output, self._ranks = pid, wait, Path(output), ranks

    @property
    def output(self):
        return self._output.read_text()

    @property
    def ranks(self):
        return self._ranks()

    def wait(self, timeout=PATIENCE):
        """The exit code, negative for a signal; fails where the process hangs."""
        code = self._wait(timeout)
        assert code is not None, f'{timeout} s are over and it still runs:\n{self.output}'
        return code

    def wait_for(self, text):
        """Until ``text`` is in the output."""
        end = time.monotonic() + PATIENCE
        while text not in self.output:
            assert is_alive(self.pid), f'it ended without {text!r}:\n{self.output}'
            assert time.monotonic() < end, f'{PATIENCE} s are over and there is no {text!r} in:\n{self.output}'
            time.sleep(0.01)

    def end(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)


@contextlib.contextmanager
def start(work_dir, *arguments, options=(), log=None, **variables):
    """Train the toy in one process, its output in the folder ``log``; ``variables`` are those of the environment."""
    output = Path(log or Path(work_dir).parent, f'{time.monotonic_ns()}.log')
    output.touch()
    process = _SERVER.Process(target=_train, args=(
        str(output), ['train', str(TOY / 'toy.py'), '--work-dir', str(work_dir), *arguments, *_as_options(options)],
        {name: str(value) for name, value in variables.items()}))
    with mock.patch.dict(os.environ, WITHOUT_GPU):  # the server, which starts with the first process, keeps it
        process.start()

    def wait(timeout):
        process.join(timeout)
        return process.exitcode

    training = Training(process.pid, wait, output, lambda: [process.pid])
    try:
        yield training
    finally:
        training.end()
        process.join(10)


@contextlib.contextmanager
def start_ranks(work_dir, *arguments, number=2, options=()):
    """The processes of one training as a launcher starts them, without one."""
    with socket.create_server(('127.0.0.1', 0)) as server:
        port = server.getsockname()[1]
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(start(
            work_dir, *arguments, '--launcher', 'pytorch', options=options, RANK=rank, LOCAL_RANK=rank,
            WORLD_SIZE=number, MASTER_ADDR='127.0.0.1', MASTER_PORT=port)) for rank in range(number)]


@contextlib.contextmanager
def launch(work_dir, *arguments, number=2, options=(), command=('bash', f'{PROJECT}/tools/dist_train.sh')):
    """``tools/dist_train.sh``, torchrun and its ranks, or another launcher that is called in the same way."""
    output = Path(f'{work_dir}.{time.monotonic_ns()}.log')
    with open(output, 'wb') as stream:
        process = subprocess.Popen(
            [*command, f'{TOY}/toy.py', str(number), '--work-dir', str(work_dir), *arguments, *_as_options(options)],
            env=environment(), stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, start_new_session=True)

    def wait(timeout):
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(timeout)

    training = Training(process.pid, wait, output, lambda: _children(process.pid))
    try:
        yield training
    finally:
        ranks = training.ranks if process.poll() is None else []
        training.end()
        process.wait(10)
        for pid in ranks:  # torchrun puts them in groups of their own
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def environment():
    """Of programs that import the toy and this checkout."""
    return dict(os.environ, **WITHOUT_GPU, PYTHONPATH=os.pathsep.join([str(TOY), str(PROJECT / 'projects')]),
                VIRTUAL_ENV=sys.prefix, PATH=f'{sys.prefix}/bin:{os.environ["PATH"]}',
                PYTHONWARNINGS='ignore', OMP_NUM_THREADS='1')


class Undisturbed:
    """Trainings that nothing disturbs, one for each number of processes, to compare others with."""

    def __init__(self, folder, options, iterations):
        self.folder, self.options, self.iterations = folder, options, iterations

    def check_resumed(self, work_dir, number):
        """Resume to the end; all must be equal to the last bit. Returns the log."""
        output = self.train(work_dir, number, '--resume')
        expected = self.folder / str(number)
        if not expected.exists():
            self.train(expected, number)
        assert_equal(trained(work_dir, self.iterations), trained(expected, self.iterations))
        return output

    def train(self, work_dir, number, *arguments):
        with start_ranks(work_dir, *arguments, number=number, options=self.options) as ranks:
            assert [rank.wait() for rank in ranks] == [0] * number, ranks[0].output
            return ranks[0].output


def is_alive(pid):
    """Whether a process runs; one that ended and waits for its parent does not."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0] != 'Z'
    return False


def wait_until_gone(pids, timeout=PATIENCE):
    end = time.monotonic() + timeout
    while any(is_alive(pid) for pid in pids):
        assert time.monotonic() < end, f'{[pid for pid in pids if is_alive(pid)]} still run after {timeout} s'
        time.sleep(0.02)


def group_members(pid):
    """The processes of a process group: the training and the workers of its loaders."""
    members = []
    for path in Path('/proc').glob('[0-9]*/stat'):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            state, _, group = path.read_text().rpartition(')')[2].split()[:3]
            if int(group) == pid and state != 'Z':
                members.append(int(path.parent.name))
    return members


def trained(work_dir, iterations):
    """What resuming must bring back, from the checkpoint of that iteration: all but times and file names."""
    saved = read_training_checkpoint(Path(work_dir) / f'iter_{iterations}.pth')
    losses, _ = saved['message_hub']['log_scalars']['train/loss'].data
    return {**{name: saved[name] for name in ('state_dict', 'optimizer', 'param_schedulers')},
            'losses': losses.tolist(), 'drawn': saved['message_hub']['runtime_info']['samples_drawn']}


def assert_equal(found, expected, path=''):
    """Equal to the last bit."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys(), path
        for key, value in expected.items():
            assert_equal(found[key], value, f'{path}.{key}')
    elif isinstance(expected, (list, tuple)):
        assert_equal(dict(enumerate(found)), dict(enumerate(expected)), path)
    elif isinstance(expected, torch.Tensor):
        assert torch.equal(found, expected), path
    else:
        assert found == expected, path


def _train(output, arguments, variables):
    os.setsid()
    stream = os.open(output, os.O_WRONLY | os.O_APPEND)
    os.dup2(stream, 1)
    os.dup2(stream, 2)
    os.environ.update(variables)
    torch.set_num_threads(1)  # as under torchrun, since sums over several threads are rounded differently
    sys.path.insert(0, str(TOY))
    from simipu.cli import main
    main(arguments)


def _as_options(options):
    return ['--cfg-options', *options] if options else []


def _children(pid):
    try:
        return [int(child) for child in Path(f'/proc/{pid}/task/{pid}/children').read_text().split()]
    except FileNotFoundError:
        return []
