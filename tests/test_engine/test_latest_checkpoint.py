"""Which checkpoint ``--resume`` takes."""
import re

import pytest
import torch
from mmengine.config import Config

from simipu.engine.latest_checkpoint import find_latest_checkpoint
from simipu.engine.launch import set_resume
from simipu.errors import CheckpointError


def write(path, **changes):
    content = dict(meta=dict(epoch=0, iter=1), state_dict=dict(weight=torch.arange(3000.)),
                   optimizer=dict(state={}, param_groups=[]),
                   message_hub=dict(log_scalars={}, runtime_info={}, resumed_keys={}))
    torch.save(content | changes, path)


def cut_short(path):
    path.write_bytes(path.read_bytes()[:-200])


def empty(path):
    path.write_bytes(b'')


def zeroed(path):
    path.write_bytes(bytes(path.stat().st_size))


def flip_a_bit_of_a_weight(path):
    """torch.load reads such a file without a word."""
    content = bytearray(path.read_bytes())
    content[content.index(torch.arange(3000.).numpy().tobytes()) + 400] ^= 1
    path.write_bytes(content)
    torch.load(path, weights_only=True)


def weights_only(path):
    torch.save(dict(state_dict=dict(weight=torch.zeros(3))), path)


@pytest.fixture
def work_dir(tmp_path):
    for number in (2, 4, 10):
        write(tmp_path / f'iter_{number}.pth')
    write(tmp_path / 'best_loss_iter_99.pth')
    return tmp_path


def test_the_newest_by_number_without_the_pointer(work_dir):
    assert find_latest_checkpoint(work_dir) == (work_dir / 'iter_10.pth', [])


def test_a_pointer_that_leads_nowhere_does_not_matter(work_dir):
    (work_dir / 'last_checkpoint').write_text('/elsewhere/iter_12.pth')
    assert find_latest_checkpoint(work_dir).path == work_dir / 'iter_10.pth'


@pytest.mark.parametrize('spoil', [cut_short, empty, zeroed, flip_a_bit_of_a_weight, weights_only])
def test_a_spoilt_one_is_passed_over_and_named(work_dir, spoil, capsys):
    spoil(work_dir / 'iter_10.pth')
    latest = find_latest_checkpoint(work_dir)
    assert latest.path == work_dir / 'iter_4.pth'
    assert len(latest.passed_over) == 1 and str(work_dir / 'iter_10.pth') in latest.passed_over[0]
    cfg = Config(dict(work_dir=str(work_dir), launcher='none'))
    set_resume(cfg, 'auto')
    assert cfg.resume and cfg.load_from == str(work_dir / 'iter_4.pth')
    said = capsys.readouterr().out
    assert re.search(r'passed over: .*iter_10\.pth', said) and 'going on from' in said


@pytest.mark.parametrize('iterations, newest', [(90, 'epoch_9.pth'), (110, 'interrupted.pth')])
def test_an_interrupted_training_goes_on_where_it_was_stopped(tmp_path, iterations, newest):
    for epoch in (8, 9):
        write(tmp_path / f'epoch_{epoch}.pth', meta=dict(epoch=epoch, iter=11 * epoch))
    write(tmp_path / 'interrupted.pth', meta=dict(epoch=0, iter=iterations))
    assert find_latest_checkpoint(tmp_path) == (tmp_path / newest, [])


def test_none_that_can_be_read_is_an_error_and_not_a_new_beginning(work_dir):
    for number in (2, 4, 10):
        cut_short(work_dir / f'iter_{number}.pth')
    with pytest.raises(CheckpointError, match='none of the 3 checkpoints .* can be read; .* another --work-dir'):
        find_latest_checkpoint(work_dir)


def test_no_checkpoint_at_all_begins_at_the_first_iteration(tmp_path, capsys):
    cfg = Config(dict(work_dir=str(tmp_path), load_from='coco.pth', launcher='none'))
    set_resume(cfg, 'auto')
    assert not cfg.resume and cfg.load_from == 'coco.pth' and 'first iteration' in capsys.readouterr().out
