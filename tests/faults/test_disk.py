"""Disks that are full or may not be written to, and files in the place of folders: one message, and nothing broken."""
import errno
import subprocess
from pathlib import Path

import pytest
from trainings import share, start

from simipu.checkpoints.reading import read_training_checkpoint

LARGE = ['model.spare=50000']  # checkpoints of 216 kB
ITERATIONS = 12


@pytest.fixture
def small_disk(tmp_path):
    """Mounts a disk of so many kB."""
    folder = tmp_path / 'disk'
    folder.mkdir()

    def mount(size, *options):
        command = ['mount', '-t', 'tmpfs', '-o', ','.join([f'size={size}k', *options]), 'tmpfs', str(folder)]
        if subprocess.run(command, capture_output=True, timeout=60).returncode:
            pytest.skip('needs the right to mount a small disk')
        return folder

    yield mount
    subprocess.run(['umount', '--lazy', str(folder)], capture_output=True, timeout=60)


def fill(folder):
    """To the last byte."""
    with open(folder / 'ballast', 'wb', buffering=0) as stream:
        try:
            while stream.write(bytes(1000)):
                pass
        except OSError as error:
            assert error.errno == errno.ENOSPC


def message_of(training):
    """The one line with which a training ends."""
    assert training.wait() == 1, training.output
    assert 'Traceback' not in training.output and 'Logging error' not in training.output, training.output
    lines = [line for line in training.output.splitlines() if line.startswith('error: ')]
    assert len(lines) == 1 and training.output.splitlines()[-1] == lines[0], training.output
    return lines[0]


def whole_checkpoints(folder):
    """Those that can be read; nothing else that is like one may be there."""
    paths = [path for path in Path(folder).rglob('*') if path.suffix in ('.pth', '.part')]
    for path in paths:
        read_training_checkpoint(path)
    return sorted(path.name for path in paths)


@pytest.mark.parametrize('size, keep, left', share([
    (400, 1, ['iter_2.pth']), (620, 2, ['iter_2.pth', 'iter_4.pth'])], 1))
def test_no_room_for_another_checkpoint(small_disk, size, keep, left):
    folder = small_disk(size)
    with start(f'{folder}/w', options=[*LARGE, f'default_hooks.checkpoint.max_keep_ckpts={keep}'],
               log=folder.parent) as training:
        training.wait_for(f'[ {2 * keep}/{ITERATIONS}]')
        message = message_of(training)
    assert f'iter_{2 * keep + 2}.pth cannot be written (No space left on device): it needs 0.2 MB, and 0.' in message
    assert whole_checkpoints(folder) == left


def test_no_room_for_any_checkpoint_is_told_before_the_first_step(small_disk):
    folder = small_disk(200)
    with start(f'{folder}/w', options=LARGE, log=folder.parent) as training:
        assert 'No space left on device' in message_of(training)
    assert '[ 1/' not in training.output and whole_checkpoints(folder) == []


@pytest.mark.parametrize('options', share([['visualizer.vis_backends=[]'], []], 1))  # text alone, or figures as well
def test_logs_on_a_full_disk(small_disk, options):
    folder = small_disk(2000)
    with start(f'{folder}/w', options=[*options, 'train_cfg.max_iters=99', 'default_hooks.checkpoint.interval=50',
                                       'model.seconds=0.05'], log=folder.parent) as training:
        training.wait_for('[ 3/99]')
        fill(folder)
        message = message_of(training)
    assert message.startswith('error: logs cannot be written (No space left on device): 0.0 MB are free in ')


def test_a_disk_that_may_only_be_read(small_disk):
    folder = small_disk(100, 'ro')
    with start(f'{folder}/w', log=folder.parent) as training:
        message = message_of(training)
    assert 'Read-only file system' in message and 'choose another' in message


@pytest.mark.parametrize('place', share(['w/deeper', 'w'], 1))
def test_a_file_in_the_place_of_the_work_dir(tmp_path, place):
    (tmp_path / 'w').touch()
    with start(tmp_path / place, log=tmp_path) as training:
        message = message_of(training)
    assert f'{tmp_path}/w' in message and 'folder that you may write to' in message
