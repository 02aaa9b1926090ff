"""A step without pairs leaves the image side alone, although momentum and weight decay are on."""
import copy

import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn

from simipu.engine import SkipEmptyBatchHook

OPTIMIZER = dict(
    point_encoder=dict(type='AdamW', lr=1e-2, weight_decay=0.1),
    default=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=0.1))


class TwoLosses(BaseModel):
    """A loss of as many pairs as each batch says, and one of the point encoder's own.

    The gradient of the first is zero in an empty batch, not missing.
    """

    def __init__(self):
        super().__init__()
        self.point_encoder = nn.Linear(2, 2)
        self.img_backbone = nn.Linear(2, 2)

    def forward(self, pairs, mode='loss'):
        ones = torch.ones(2, device=pairs.device)
        point, image = self.point_encoder(ones), self.img_backbone(ones)
        return dict(loss_inter=int(pairs.sum()) * (image - point.detach()).square().sum(),
                    loss_intra=(point - 1).square().sum())


class Record(Hook):
    """Keeps a copy of everything of a module that a step may change."""

    def __init__(self):
        self.states = dict(img_backbone=[], point_encoder=[])

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        state = runner.optim_wrapper.optimizer.state
        for name, states in self.states.items():
            weights = [*getattr(runner.model, name).parameters()]
            states.append(copy.deepcopy([*weights, *(
                value for weight in weights for value in state[weight].values())]))


def train(tmp_path, pairs, **kwargs):
    record = Record()
    torch.manual_seed(0)
    settings = dict(
        train_cfg=dict(by_epoch=False, max_iters=len(pairs)),
        optim_wrapper=dict(constructor='HybridOptimWrapperConstructor', optimizer=OPTIMIZER,
                           **kwargs.pop('wrapper', {})))
    runner = Runner(
        TwoLosses(), str(tmp_path), custom_hooks=[dict(type='SkipEmptyBatchHook'), record],
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


def test_an_empty_step_leaves_the_image_backbone_alone_and_trains_the_point_encoder(tmp_path, capfd):
    runner, states = train(tmp_path, [5, 0, 0, 7])
    images, points = states['img_backbone'], states['point_encoder']
    assert unchanged(images[0], images[1]) and unchanged(images[1], images[2])
    assert not any(map(torch.equal, images[2], images[3]))
    for before, after in zip(points, points[1:]):
        assert not any(map(torch.equal, before, after))
    history, _ = runner.message_hub.get_scalar('train/skipped_steps').data
    assert history.tolist() == [1, 2, 2]
    assert 'iteration 3: all gradients of img_backbone are zero' in (log := ''.join(capfd.readouterr()))
    assert '2 such steps so far' in log and log.count('no point is visible') == 2


def test_without_the_hook_an_empty_step_does_change_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(SkipEmptyBatchHook, '_before_step', lambda *args: None)
    _, states = train(tmp_path, [5, 0])
    assert not any(map(torch.equal, *states['img_backbone']))


def test_accumulated_batches_count_together(tmp_path):
    runner, states = train(tmp_path, [3, 0, 0, 4, 0, 0], wrapper=dict(accumulative_counts=2))
    images = states['img_backbone']
    assert not unchanged(images[2], images[3])
    assert unchanged(images[3], images[5])
    assert runner.message_hub.get_info('skipped_steps') == 1


def test_count_goes_on_after_resuming(tmp_path):
    train(tmp_path, [0, 5, 0])
    runner, _ = train(tmp_path, [0, 5, 0, 0, 1], resume=True)
    assert runner.message_hub.get_info('skipped_steps') == 3


def test_infinite_gradients_are_no_empty_batch():
    """GradScaler leaves out a step with infinite gradients; the next may still be an empty one."""
    hook = SkipEmptyBatchHook()
    model = nn.ModuleDict(dict(img_backbone=nn.Linear(1, 1, bias=False)))
    weight = model['img_backbone'].weight
    before = weight.item()
    optimizer = torch.optim.SGD([weight], lr=0.1, weight_decay=0.1)
    runner = Fake(model=model, optim_wrapper=Fake(optimizer=optimizer),
                  message_hub=Fake(runtime_info={}, update_info=print, update_scalar=print),
                  logger=Fake(warning=print), iter=0)
    scaler = torch.amp.GradScaler('cpu')
    hook.before_train(runner)
    for gradient in (float('inf'), 0.0):
        scaler.scale((weight * gradient).sum()).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        hook.after_train_iter(runner, 0)
    assert weight.item() == before and hook.num_skipped == 1


class Fake:

    def __init__(self, **kwargs):
        vars(self).update(kwargs)
