"""NaN and infinity in data, weights, gradients and losses, and a learning rate beyond all sense."""
import re

import pytest
from trainings import share, start

from simipu.checkpoints.reading import non_finite_tensors, read_checkpoint

ALL_BAD = f'train_dataloader.dataset.bad={list(range(24))}'.replace(' ', '')
INFINITE = 'train_dataloader.dataset.bad_value=inf'


def train(work_dir, *options):
    """The exit code and the output; no checkpoint may hold anything that is not finite."""
    with start(work_dir, options=options) as training:
        code = training.wait()
    assert 'Traceback' not in training.output
    for path in work_dir.glob('*.pth'):
        assert non_finite_tensors(read_checkpoint(path).state_dict) == [], path
    return code, training.output


@pytest.mark.parametrize('options', share([
    ['train_dataloader.dataset.bad=[3]'], ['custom_hooks.3.at=5', 'custom_hooks.3.gradient=True'],
    ['train_dataloader.dataset.bad=[3]', INFINITE],
    ['custom_hooks.3.at=5', 'custom_hooks.3.gradient=True', 'custom_hooks.3.value=inf']], 2))
def test_single_steps_are_left_out(tmp_path, options):
    code, output = train(tmp_path / 'w', *options)
    left_out = re.findall(r'iteration \d+: loss or gradients are NaN or infinite; the step was left out', output)
    assert code == 0 and 1 <= len(left_out) <= 3 and (tmp_path / 'w' / 'iter_12.pth').exists()


@pytest.mark.parametrize('options, last', share([
    (['custom_hooks.3.at=4'], 'iter_4.pth'),
    (['optim_wrapper.optimizer.default.lr=1e30', 'optim_wrapper.optimizer.point_encoder.lr=1e30'], None),
    ([ALL_BAD], None), ([ALL_BAD, INFINITE], None),
    (['custom_hooks.3.at=5', 'custom_hooks.3.value=inf'], 'iter_4.pth')], 2))
def test_what_does_not_pass_ends_the_training_with_likely_causes(tmp_path, options, last):
    code, output = train(tmp_path / 'w', *options)
    message = output.splitlines()[-1]
    assert code == 1 and message.startswith('error: iteration ') and 'NaN or infinite' in message
    assert 'Likely causes: a learning rate that is too high' in message and 'simipu check-dataset' in message
    if last:
        assert f'The last good checkpoint is {tmp_path}/w/{last}' in message
        assert (tmp_path / 'w' / last).exists()
