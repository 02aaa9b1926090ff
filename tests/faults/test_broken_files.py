"""Checkpoints that are broken, and pointers that lead nowhere: --resume takes the newest that can be read."""
import shutil

import pytest
import torch
from trainings import Undisturbed, assert_equal, share, start, trained

ITERATIONS = 8
OPTIONS = [f'train_cfg.max_iters={ITERATIONS}', 'default_hooks.checkpoint.max_keep_ckpts=3']


@pytest.fixture(scope='module')
def undisturbed(tmp_path_factory):
    trainings = Undisturbed(tmp_path_factory.mktemp('undisturbed'), OPTIONS, ITERATIONS)
    trainings.train(trainings.folder / '1', 1)
    return trainings


@pytest.fixture
def work_dir(tmp_path, undisturbed):
    """Of a training that ended after iteration 6, at another place than it was trained in."""
    copy = shutil.copytree(undisturbed.folder / '1', tmp_path / 'moved')
    (copy / 'iter_8.pth').unlink()
    return copy


def without_optimizer(path):
    saved = torch.load(path, weights_only=True)
    del saved['optimizer']
    torch.save(saved, path)


BROKEN = dict(
    truncated=lambda path: path.write_bytes(path.read_bytes()[:-2000]),
    weights_only=without_optimizer,
    empty=lambda path: path.write_bytes(b''),
    zeroed=lambda path: path.write_bytes(bytes(path.stat().st_size)),
    flipped=lambda path: path.write_bytes(path.read_bytes().replace(b'momentum_buffer', b'momentum_Buffer')),
    text=lambda path: path.write_text('<html>503 Service Unavailable</html>'))


@pytest.mark.parametrize('kind', share(BROKEN, 2))
def test_a_broken_newest_checkpoint_is_passed_over_by_name(work_dir, undisturbed, kind):
    BROKEN[kind](work_dir / 'iter_6.pth')
    output = undisturbed.check_resumed(work_dir, 1)
    assert 'iter_6.pth' in output.split('--resume: going on from')[0]
    assert f'--resume: going on from {work_dir}/iter_4.pth' in output
    if kind == 'weights_only':
        assert 'found no optimizer; a training can only be resumed from a checkpoint of a training' in output


@pytest.mark.parametrize('pointer', share(['/nowhere/iter_6.pth', None, '', 'iter_2.pth', '\0\1\2'], 1))
def test_the_pointer_does_not_matter(work_dir, undisturbed, pointer):
    (work_dir / 'last_checkpoint').unlink()
    if pointer is not None:
        (work_dir / 'last_checkpoint').write_text(pointer)
    assert f'--resume: going on from {work_dir}/iter_6.pth' in undisturbed.check_resumed(work_dir, 1)


@pytest.mark.parametrize('kind', share(BROKEN, 2))
def test_a_broken_checkpoint_that_is_named_is_an_error(work_dir, kind):
    BROKEN[kind](work_dir / 'iter_6.pth')
    with start(work_dir, '--resume', str(work_dir / 'iter_6.pth'), options=OPTIONS) as training:
        assert training.wait() == 1
    lines = training.output.splitlines()
    assert len(lines) == 1 and lines[0].startswith('error: ') and 'iter_6.pth' in lines[0]
    assert_equal(trained(work_dir, 4)['drawn'], 16)  # the one before is as it was


def test_where_no_checkpoint_can_be_read_nothing_begins_anew(work_dir):
    for path in work_dir.glob('iter_*.pth'):
        path.write_bytes(b'')
    with start(work_dir, '--resume', options=OPTIONS) as training:
        assert training.wait() == 1
    assert 'none of the 2 checkpoints' in training.output and 'Traceback' not in training.output
    assert all(path.stat().st_size == 0 for path in work_dir.glob('iter_*.pth'))
