"""Training curves from logs as MMEngine writes them."""
import json

import numpy as np
import pytest

from simipu.errors import DataError
from simipu.visualization import draw_training_curves, read_scalars


def write_log(folder, lines):
    path = folder / 'vis_data' / 'scalars.json'
    path.parent.mkdir(parents=True)
    path.write_text('\n'.join(json.dumps(line) for line in lines) + '\n')
    return path


def train(step, loss):
    return dict(loss=loss, loss_inter=loss / 2, lr=0.1, iter=step, step=step)


def test_resumed_training_goes_on_and_validation_stands_at_its_iteration(tmp_path):
    """By epoch: MMEngine's step of a validation is the epoch, 1 and 2 here."""
    write_log(tmp_path / '20260101_000000',
              [train(10, 5.0), {'retrieval/top1': 1.0, 'step': 1}, train(20, 4.0), train(30, 9.0)])
    write_log(tmp_path / '20260102_000000', [train(30, 3.0), {'retrieval/top1': 7.0, 'step': 2}])
    scalars = read_scalars(tmp_path)
    assert scalars['loss'] == ([10, 20, 30], [5.0, 4.0, 3.0])
    assert scalars['retrieval/top1'] == ([10, 30], [1.0, 7.0])


def test_a_log_without_training_or_file_says_so(tmp_path):
    with pytest.raises(DataError, match='no vis_data/scalars.json'):
        read_scalars(tmp_path)
    path = write_log(tmp_path, [train(1, 2.0)])
    path.write_text(path.read_text() + '{"loss": 1.')
    with pytest.raises(DataError, match='line 2.*cut short'):
        read_scalars(tmp_path)
    with pytest.raises(DataError, match='nothing to draw.*found time'):
        draw_training_curves(dict(time=([1], [2.0])))


def test_each_kind_of_scalar_gets_a_panel():
    losses = draw_training_curves(dict(loss=([1, 2], [3.0, 2.0])), width=600)
    both = draw_training_curves({'loss': ([1, 2], [3.0, 2.0]), 'retrieval/top1': ([2], [5.0]),
                                 'depth_probe/delta1': ([2], [0.5])}, width=600)
    assert losses.shape == (300, 600, 3) and both.shape == (600, 600, 3)
    blue = np.abs(losses.astype(int) - (180, 119, 31)).sum(-1) < 30  # matplotlib's first colour
    assert blue[:, :300].any() and (both[:, 300:] != 255).any()
