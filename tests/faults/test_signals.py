"""Signals to a training, to all of its processes and to its launcher: nothing is lost but the step under way."""
import itertools
import os
import re
import signal
import time

import pytest
from trainings import Undisturbed, group_members, launch, share, start_ranks, wait_until_gone

from simipu.checkpoints.reading import read_training_checkpoint

ITERATIONS = 10
OPTIONS = ['model.seconds=0.1', f'train_cfg.max_iters={ITERATIONS}', 'default_hooks.checkpoint.interval=1000',
           'train_dataloader.num_workers=2']
TERM, INT, HUP = signal.SIGTERM, signal.SIGINT, signal.SIGHUP


@pytest.fixture(scope='module')
def undisturbed(tmp_path_factory):
    return Undisturbed(tmp_path_factory.mktemp('undisturbed'), OPTIONS, ITERATIONS)


def logged(output):
    """The last iteration of which the log tells."""
    return max(map(int, re.findall(rf'Iter\(train\) \[ *(\d+)/{ITERATIONS}\]', output)))


def check_saved_and_resumed(work_dir, number, undisturbed, last):
    """No iteration of the log is lost, nor trained a second time."""
    assert read_training_checkpoint(work_dir / 'interrupted.pth')['meta']['iter'] == last
    output = undisturbed.check_resumed(work_dir, number)
    assert f'[{last:2}/{ITERATIONS}]' not in output and f'[{last + 1:2}/{ITERATIONS}]' in output


@pytest.mark.parametrize('target, number', share(itertools.product(['group', 'process'], [TERM, INT, HUP]), 1))
def test_one_process(tmp_path, undisturbed, target, number):
    """To the group with the workers of the loader, too, as schedulers and terminals do."""
    with start_ranks(tmp_path / 'w', number=1, options=OPTIONS) as (training, ):
        training.wait_for(f'[ 3/{ITERATIONS}]')
        assert len(group_members(training.pid)) == 3
        {'process': os.kill, 'group': os.killpg}[target](training.pid, number)
        assert training.wait() == 75, training.output
        assert 'Traceback' not in training.output
        wait_until_gone(group_members(training.pid), timeout=20)
    check_saved_and_resumed(tmp_path / 'w', 1, undisturbed, logged(training.output))


@pytest.mark.parametrize('target, number', share([
    ('launcher', TERM), ('all', TERM), ('rank', HUP), ('launcher', INT)], 1))
def test_two_processes_and_their_launcher(tmp_path, undisturbed, target, number):
    with launch(tmp_path / 'w', options=OPTIONS) as launcher:
        launcher.wait_for(f'[ 3/{ITERATIONS}]')
        ranks = launcher.ranks
        for pid in dict(launcher=[launcher.pid], rank=ranks[1:], all=[launcher.pid, *ranks])[target]:
            os.kill(pid, number)
        assert launcher.wait() == 75, launcher.output
        assert 'Traceback' not in launcher.output
        wait_until_gone(ranks)
    check_saved_and_resumed(tmp_path / 'w', 2, undisturbed, logged(launcher.output))


def test_a_second_signal_ends_it_at_once(tmp_path):
    options = ['model.seconds=60', 'default_hooks.dry_run.enabled=False']
    with start_ranks(tmp_path / 'w', number=1, options=options) as (training, ):
        training.wait_for('Checkpoints will be saved')  # just before the first step
        os.kill(training.pid, TERM)
        time.sleep(1.5)
        os.kill(training.pid, TERM)
        assert training.wait(20) == -TERM and 'Traceback' not in training.output
