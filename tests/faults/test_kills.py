"""Trainings that are killed with SIGKILL go on with --resume, to the last bit as those that were not killed."""
import os
import random
import signal
import time

import pytest
from trainings import Undisturbed, group_members, launch, share, start_ranks, wait_until_gone

ITERATIONS = 16
OPTIONS = ['model.seconds=0.03', f'train_cfg.max_iters={ITERATIONS}', 'train_dataloader.num_workers=1']
KILLED = -signal.SIGKILL


@pytest.fixture(scope='module')
def undisturbed(tmp_path_factory):
    return Undisturbed(tmp_path_factory.mktemp('undisturbed'), OPTIONS, ITERATIONS)


def moments(number, seed):
    """Pairs of an iteration and seconds after it, from a time before the first step to one well before the last."""
    generator = random.Random(seed)
    return [(generator.randrange(ITERATIONS - 5), round(generator.uniform(0, 0.1), 3)) for _ in range(number)]


def wait_until(training, moment):
    iteration, seconds = moment
    training.wait_for(f'Iter(train) [{iteration:2}/{ITERATIONS}]' if iteration else ' - mmengine - ')
    time.sleep(seconds)


@pytest.mark.parametrize('moment', share(moments(13, seed=1), 1))
def test_main_process(tmp_path, undisturbed, moment):
    with start_ranks(tmp_path / 'w', number=1, options=OPTIONS) as (training, ):
        wait_until(training, moment)
        os.kill(training.pid, signal.SIGKILL)
        assert training.wait() == KILLED
        undisturbed.check_resumed(tmp_path / 'w', 1)
        wait_until_gone(group_members(training.pid), timeout=20)  # workers of the loader notice within 5 s


@pytest.mark.parametrize('moment', share(moments(12, seed=2), 1))
def test_process_group(tmp_path, undisturbed, moment):
    with start_ranks(tmp_path / 'w', number=1, options=OPTIONS) as (training, ):
        wait_until(training, moment)
        os.killpg(training.pid, signal.SIGKILL)
        assert training.wait() == KILLED
    undisturbed.check_resumed(tmp_path / 'w', 1)


@pytest.mark.parametrize('rank, moment', [(index % 2, moment) for index, moment in enumerate(
    share(moments(13, seed=3), 1))])
def test_one_of_two_processes(tmp_path, undisturbed, rank, moment):
    with start_ranks(tmp_path / 'w', options=OPTIONS) as ranks:
        wait_until(ranks[0], moment)
        os.kill(ranks[rank].pid, signal.SIGKILL)
        assert ranks[rank].wait() == KILLED
        assert ranks[1 - rank].wait() == 1
        assert 'error: process' in ranks[1 - rank].output and 'in vain' in ranks[1 - rank].output
    undisturbed.check_resumed(tmp_path / 'w', 2)


@pytest.mark.parametrize('moment', share(moments(12, seed=4), 1))
def test_launcher(tmp_path, undisturbed, moment):
    """Its processes finish their step and save, where they have begun to train; they do not train on."""
    with launch(tmp_path / 'w', options=[*OPTIONS, 'model.seconds=0.1']) as launcher:
        wait_until(launcher, moment)
        ranks = launcher.ranks
        assert len(ranks) == 2
        os.kill(launcher.pid, signal.SIGKILL)
        assert launcher.wait() == KILLED
        wait_until_gone(ranks)
        assert 'Traceback' not in launcher.output
    assert not (tmp_path / 'w' / f'iter_{ITERATIONS}.pth').exists()
    undisturbed.check_resumed(tmp_path / 'w', 2)
