"""Several processes: one that stops, ends that follow the launcher's, and numbers that do not depend on how many."""
import json
import os
import signal
import subprocess
import sys

import pytest
import torch
from trainings import (
    ALL,
    PROJECT,
    TOY,
    Undisturbed,
    assert_equal,
    environment,
    launch,
    share,
    start_ranks,
    trained,
    wait_until_gone,
)

ITERATIONS = 10
OPTIONS = ['model.seconds=0.05', f'train_cfg.max_iters={ITERATIONS}', 'env_cfg.dist_cfg.timeout=15']
in_full = pytest.mark.skipif(not ALL, reason='only with SIMIPU_ALL_FAULTS=1')


def check_message(output):
    assert 'waits for the others in vain' in output and '--resume goes on' in output


@pytest.mark.parametrize('rank', share([0, 1], 1))
def test_a_stopped_process_ends_the_other_after_the_timeout(tmp_path, rank):
    with start_ranks(tmp_path / 'w', options=OPTIONS) as ranks:
        ranks[0].wait_for(f'[ 3/{ITERATIONS}]')
        os.kill(ranks[rank].pid, signal.SIGSTOP)
        assert ranks[1 - rank].wait() == 1
        check_message(ranks[1 - rank].output)
        ranks[rank].end()
    Undisturbed(tmp_path, OPTIONS, ITERATIONS).check_resumed(tmp_path / 'w', 2)


@in_full
def test_torchrun_ends_a_stopped_process(tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_ELASTIC_SHUTDOWN_TIMEOUT', '3')
    with launch(tmp_path / 'w', options=OPTIONS) as launcher:
        launcher.wait_for(f'[ 3/{ITERATIONS}]')
        ranks = launcher.ranks
        os.kill(ranks[0], signal.SIGSTOP)
        assert launcher.wait() == 1
        wait_until_gone(ranks)
        assert 'Traceback' not in launcher.output
        check_message(launcher.output)
        assert 'error: process ' in launcher.output.splitlines()[-1]


@in_full
def test_torchrun_starts_again_after_a_killed_process(tmp_path, monkeypatch):
    monkeypatch.setenv('PET_MAX_RESTARTS', '1')  # torchrun's --max-restarts
    with launch(tmp_path / 'w', '--resume', options=OPTIONS) as launcher:
        launcher.wait_for(f'[ 5/{ITERATIONS}]')
        first = launcher.ranks
        os.kill(first[1], signal.SIGKILL)
        assert launcher.wait() == 0, launcher.output
    assert launcher.output.count(f'[ 1/{ITERATIONS}]') == 1, launcher.output
    wait_until_gone(first)
    Undisturbed(tmp_path, OPTIONS, ITERATIONS).train(tmp_path / 'undisturbed', 2)
    assert_equal(trained(tmp_path / 'w', ITERATIONS), trained(tmp_path / 'undisturbed', ITERATIONS))


@in_full
def test_ray_starts_again_after_a_killed_process(tmp_path):
    pytest.importorskip('ray.train', exc_type=ImportError, reason='Ray is not installed: pip install "ray[train]"')
    command = [sys.executable, str(PROJECT / 'tools' / 'ray_train.py')]
    with launch(tmp_path / 'w', options=OPTIONS, command=command) as ray:
        ray.wait_for(f'[ 5/{ITERATIONS}]')
        found = subprocess.check_output(['pgrep', '-f', f'train.py .*{tmp_path}'], text=True)
        os.kill(max(map(int, found.split())), signal.SIGKILL)
        assert ray.wait() == 0, ray.output
    assert ray.output.count(f'[ 1/{ITERATIONS}]') == 1, ray.output
    Undisturbed(tmp_path, OPTIONS, ITERATIONS).train(tmp_path / 'undisturbed', 2)
    assert_equal(trained(tmp_path / 'w', ITERATIONS), trained(tmp_path / 'undisturbed', ITERATIONS))


@in_full
def test_without_a_launcher_a_training_outlives_its_parent(tmp_path):
    """As under nohup."""
    command = [sys.executable, str(PROJECT / 'tools/train.py'), str(TOY / 'toy.py'), '--work-dir', str(tmp_path / 'w')]
    with open(tmp_path / 'log', 'w') as log:
        parent = subprocess.run(
            ['bash', '-c', '"$@" & echo $!', 'bash', *command], env=environment(), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=log, text=True, timeout=60, start_new_session=True)
    wait_until_gone([int(parent.stdout.split()[0])])
    assert (tmp_path / 'w' / 'iter_12.pth').exists(), (tmp_path / 'log').read_text()


def test_a_dry_run_that_fails_in_one_process_ends_both(tmp_path):
    """The second process tries samples 4 to 7."""
    with start_ranks(tmp_path / 'w', options=[*OPTIONS, 'train_dataloader.dataset.missing=5']) as ranks:
        assert [rank.wait() for rank in ranks] == [1, 1]
    assert 'error: dry run: training failed in another process' in ranks[0].output.splitlines()[-1]
    assert 'sample 5' in ranks[1].output and '[ 1/' not in ranks[0].output


@pytest.mark.parametrize('option, first, second', [
    ('val_evaluator.fails=True', "validation failed before the first step (KeyError: 'depth')",
     'dry run: validation failed in another process'),
    ('model.type=ExchangingModel', 'waits for the others in vain', "training failed before the first step (KeyError:"),
])
def test_a_dry_run_that_fails_where_the_others_wait_ends_both(tmp_path, option, first, second):
    """In the first process, which alone computes metrics, and in the second of a model that exchanges."""
    model = ['model.fails_in_rank=1'] if 'model' in option else []
    with start_ranks(tmp_path / 'w', options=[*OPTIONS, option, *model]) as ranks:
        assert [rank.wait() for rank in ranks] == [1, 1]
    for rank, message in zip(ranks, [first, second]):
        last = rank.output.splitlines()[-1]
        assert last.startswith('error: ') and message in last


def records(work_dir, processes):
    """Losses of single records: {(iteration, record): loss}."""
    lines = [json.loads(line) for rank in range(processes)
             for line in (work_dir / f'records_{rank}.jsonl').read_text().splitlines()]
    return {(line['iteration'], record): loss
            for line in lines for record, loss in zip(line['records'], line['losses'])}


def test_two_processes_have_the_losses_of_one_and_so_has_a_change_between(tmp_path):
    """Up to rounding, as sums are taken in another order."""
    options = ['model.norm=False', 'model.dropout=0', 'model.seconds=0']

    def train(name, processes, iterations, *arguments):
        lengths = [f'train_dataloader.batch_size={4 // processes}', f'train_cfg.max_iters={iterations}']
        with start_ranks(tmp_path / name, *arguments, number=processes, options=options + lengths) as ranks:
            assert [rank.wait() for rank in ranks] == [0] * processes, ranks[0].output

    train('one', 1, ITERATIONS)
    train('two', 2, ITERATIONS)
    train('change', 2, 2)
    train('change', 1, 4, '--resume')
    train('change', 2, ITERATIONS, '--resume')
    expected = records(tmp_path / 'one', 1)
    assert len(expected) == 4 * ITERATIONS
    for name in ('two', 'change'):
        found = records(tmp_path / name, 2)
        assert found.keys() == expected.keys()
        torch.testing.assert_close(torch.tensor(list(found.values())), torch.tensor([expected[key] for key in found]))
