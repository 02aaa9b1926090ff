"""A rehearsal before the first step, of which nothing stays but its errors."""
import random

import numpy as np
import pytest
import torch
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn

from simipu.engine import DryRunHook
from simipu.engine.dry_run_hook import _FILE, _save
from simipu.errors import ConfigError, OutputError
from simipu.evaluation import DepthProbeMetric

CALLS = []


class Model(BaseModel):

    def __init__(self, fails_in=None):
        super().__init__()
        self.fails_in = fails_in
        torch.manual_seed(1)
        self.layer = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Dropout(0.5), nn.Linear(3, 1))

    def forward(self, x, mode='loss'):
        CALLS.append((mode, len(x), self.training))
        if mode == self.fails_in:
            raise KeyError(mode)
        y = self.layer(x) + random.random() + np.random.rand()
        frame = dict(pixel_depth=torch.linspace(2, 9, 20), pixel_feature=torch.rand(20, 3))
        return dict(loss=y.square().mean()) if mode == 'loss' else [frame] * len(x)


class Losses(Hook):

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        runner.losses = [*getattr(runner, 'losses', []), outputs['loss'].item()]


class FailsAtTheEnd(BaseMetric):
    """As a metric that does not fit the results; it works on any number of frames."""
    takes_part_of_a_set = True

    def process(self, data_batch, data_samples):
        self.results += data_samples

    def compute_metrics(self, results):
        raise KeyError(len(results))


def build(work_dir, name, model=None, metric=None, frames=4, dry_run=True):
    loader = dict(batch_size=2, sampler=dict(type='DefaultSampler', shuffle=False),
                  collate_fn=dict(type='default_collate'))
    return Runner(
        model or Model(), str(work_dir), train_cfg=dict(by_epoch=True, max_epochs=1, val_interval=1),
        train_dataloader=dict(loader, dataset=[dict(x=torch.tensor([index, 1.])) for index in range(4)]),
        val_dataloader=dict(loader, dataset=[dict(x=torch.ones(2))] * frames), val_cfg={},
        val_evaluator=[metric or DepthProbeMetric()],
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)), default_scope='mmdet3d', log_level='WARNING',
        experiment_name=f'{work_dir}_{name}'.replace('/', '_'), custom_hooks=[Losses(), DryRunHook(dry_run)],
        randomness=dict(seed=3))


@pytest.fixture(autouse=True)
def no_calls():
    CALLS.clear()


def test_results_are_the_same_to_the_last_bit(tmp_path):
    without = build(tmp_path / '1', 'off', dry_run=False)
    without.train()
    with_it = build(tmp_path / '2', 'on')  # only now, as building seeds the generators
    with_it.train()
    assert CALLS[:4] == [('loss', 2, True)] * 2 + [('predict', 2, False)] * 2  # without
    assert CALLS[4:6] == [('loss', 2, True), ('predict', 2, False)]  # the dry run
    assert CALLS[6:] == CALLS[:4]
    assert with_it.losses == without.losses and len(with_it.losses) == 2
    for name, value in without.model.state_dict().items():
        assert torch.equal(with_it.model.state_dict()[name], value), name
    assert not list(tmp_path.glob('2/.*'))


def test_validation_is_tried_in_batches_of_its_own_size(tmp_path):
    """As frames of different numbers of cameras come one at a time."""
    runner = build(tmp_path, 'sizes')
    runner._val_dataloader['batch_size'] = 1
    runner.train()
    assert CALLS[:3] == [('loss', 2, True), ('predict', 1, False), ('predict', 1, False)]


@pytest.mark.parametrize('mode', ['loss', 'predict'])
def test_a_model_that_fails_does_so_before_the_first_step(tmp_path, mode):
    runner = build(tmp_path, mode, model=Model(fails_in=mode))
    with pytest.raises(ConfigError, match=f'before the first step .KeyError: .{mode}'):
        runner.train()
    assert runner.iter == 0 and not hasattr(runner, 'losses')


def test_a_metric_that_fails_does_so_before_the_first_step(tmp_path):
    runner = build(tmp_path, 'metric', metric=FailsAtTheEnd())
    with pytest.raises(ConfigError, match='dry run: validation failed before the first step .KeyError: .?2'):
        runner.train()
    assert not hasattr(runner, 'losses')


@pytest.mark.parametrize('frames', [1, 2])
def test_a_validation_set_of_one_frame_is_told_before_the_first_step(tmp_path, frames, capfd):
    runner = build(tmp_path, f'frames{frames}', frames=frames)
    runner.call_hook = stop_after_before_train(runner)
    with pytest.raises(KeyboardInterrupt):
        runner.train()
    assert ('so at least 2 frames need points' in ''.join(capfd.readouterr())) == (frames == 1)


def stop_after_before_train(runner):
    call_hook = runner.call_hook

    def call(name, **kwargs):
        if name == 'before_train_epoch':
            raise KeyboardInterrupt
        call_hook(name, **kwargs)

    return call


def test_too_little_space_for_a_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr('simipu.engine.dry_run_hook.disk_usage', lambda folder: type('Usage', (), dict(free=10)))
    with pytest.raises(OutputError, match=rf'a checkpoint takes up to 0\.0 MB, and .* MB are free in {tmp_path}\. Free '
                       'some space, or choose a folder on another disk with --work-dir'):
        build(tmp_path, 'space').train()
    assert not list(tmp_path.glob('.*'))


def test_a_resumed_training_needs_the_space_of_its_checkpoint_alone(tmp_path, monkeypatch):
    runner = build(tmp_path, 'resumed', dry_run=False)
    runner.train()
    runner.save_checkpoint(str(tmp_path), _FILE, by_epoch=False)
    size = (tmp_path / _FILE).stat().st_size
    monkeypatch.setattr('simipu.engine.dry_run_hook.disk_usage', lambda folder: type('Usage', (), dict(free=size)))
    _save(runner)


class TakesItsOwnSteps(Model):

    def train_step(self, data, optim_wrapper):
        loss = self(**self.data_preprocessor(data))['loss']
        optim_wrapper.backward(loss)
        optim_wrapper.step()
        optim_wrapper.zero_grad()
        return dict(loss=loss)


def test_models_that_take_their_own_steps_are_not_tried(tmp_path):
    build(tmp_path, 'own_steps', TakesItsOwnSteps()).train()
