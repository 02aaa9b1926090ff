"""A step without pairs changes nothing, although momentum and weight decay are on."""
import copy

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn

from simipu.engine import SkipEmptyBatchHook

OPTIMIZER = dict(
    point_encoder=dict(type='AdamW', lr=1e-2, weight_decay=0.1),
    default=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=0.1))


class PairCounter(BaseModel):
    """Counts as many pairs as each batch says; the gradient of an empty batch is zero, not missing."""

    def __init__(self):
        super().__init__()
        self.point_encoder = nn.Linear(2, 2)
        self.img_backbone = nn.Linear(2, 2)
        self.pairs_since_step = 0

    def forward(self, pairs, mode='loss'):
        count = int(pairs.sum())
        self.pairs_since_step += count
        return dict(loss=count * self.point_encoder(self.img_backbone(torch.ones(2))).square().sum())


class Record(Hook):
    """Keeps a copy of everything that a step may change."""

    def __init__(self):
        self.states = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        optimizer = runner.optim_wrapper.optimizer
        self.states.append(copy.deepcopy([*runner.model.parameters(), *(
            value for state in optimizer.state.values() for value in state.values())]))


def train(tmp_path, pairs, model=None, **kwargs):
    record = Record()
    torch.manual_seed(0)
    settings = dict(
        train_cfg=dict(by_epoch=False, max_iters=len(pairs)),
        optim_wrapper=dict(constructor='HybridOptimWrapperConstructor', optimizer=OPTIMIZER,
                           **kwargs.pop('wrapper', {})))
    runner = Runner(
        model or PairCounter(), str(tmp_path), custom_hooks=[dict(type='SkipEmptyBatchHook'), record],
        train_dataloader=dict(dataset=[dict(pairs=torch.tensor(count)) for count in pairs], batch_size=1,
                              sampler=dict(type='DefaultSampler', shuffle=False),
                              collate_fn=dict(type='default_collate')),
        default_scope='mmdet3d', log_level='WARNING', experiment_name=f'{tmp_path.name}_{len(pairs)}',
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=1)),
        **{**settings, **kwargs})
    runner.train()
    return runner, record.states


def unchanged(state, other):
    return len(state) == len(other) and all(map(torch.equal, state, other))


def test_only_empty_steps_change_nothing(tmp_path, capfd):
    runner, states = train(tmp_path, [5, 0, 0, 7])
    assert unchanged(states[0], states[1]) and unchanged(states[1], states[2])
    assert not any(map(torch.equal, states[2], states[3]))
    history, _ = runner.message_hub.get_scalar('train/skipped_steps').data
    assert history.tolist() == [1, 2, 2]
    assert 'iteration 3: no point is visible' in (log := ''.join(capfd.readouterr()))
    assert '2 steps skipped so far' in log and log.count('no point is visible') == 2


def test_without_the_hook_an_empty_step_does_change_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(SkipEmptyBatchHook, '_drop_empty_gradients', lambda *args: None)
    _, states = train(tmp_path, [5, 0])
    assert not any(map(torch.equal, states[0], states[1]))


def test_accumulated_batches_count_together(tmp_path):
    runner, states = train(tmp_path, [3, 0, 0, 4, 0, 0], wrapper=dict(accumulative_counts=2))
    assert not unchanged(states[2], states[3])
    assert unchanged(states[3], states[5])
    assert runner.message_hub.get_info('skipped_steps') == 1


def test_count_goes_on_after_resuming(tmp_path):
    train(tmp_path, [0, 5, 0])
    runner, _ = train(tmp_path, [0, 5, 0, 0, 1], resume=True)
    assert runner.message_hub.get_info('skipped_steps') == 3


def test_infinite_gradients_do_not_hide_a_later_empty_batch():
    """GradScaler leaves out a step with infinite gradients; its pairs must not count for the next."""
    hook = SkipEmptyBatchHook()
    weight = nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([weight], lr=0.1, weight_decay=0.1)
    model = PairCounter()
    runner = Fake(model=model, optim_wrapper=Fake(optimizer=optimizer, should_update=lambda: True),
                  message_hub=Fake(runtime_info={}, update_info=print, update_scalar=print),
                  logger=Fake(warning=print), iter=0)
    scaler = torch.amp.GradScaler('cpu')
    hook.before_train(runner)
    for pairs, gradient in [(5, float('inf')), (0, 0.0)]:
        hook.before_train_iter(runner, 0)
        model.pairs_since_step += pairs
        scaler.scale(weight * gradient).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        hook.after_train_iter(runner, 0)
    assert weight.item() == 1 and hook.num_skipped == 1


class Fake:

    def __init__(self, **kwargs):
        vars(self).update(kwargs)


def test_explains_that_the_model_must_count(tmp_path):
    class Other(PairCounter):
        def __init__(self):
            super().__init__()
            del self.pairs_since_step

    with pytest.raises(ValueError, match='Other has no attribute pairs_since_step'):
        train(tmp_path, [1], model=Other())
