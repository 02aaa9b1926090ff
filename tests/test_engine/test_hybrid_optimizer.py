"""The hybrid optimizer against separate optimizers of PyTorch that are run by hand."""
import copy

import pytest
import torch
from mmengine.optim import ExponentialLR, build_optim_wrapper
from mmengine.registry import DefaultScope
from torch import nn

from simipu.engine import HybridOptimizer
from simipu.errors import ConfigError

ADAMW = dict(lr=1e-2, betas=(0.95, 0.99), weight_decay=0.01)
SGD = dict(lr=0.03, momentum=0.9, weight_decay=1e-2)
OPTIMIZER = dict(point_encoder=dict(type='AdamW', **ADAMW), default=dict(type='SGD', **SGD))


@pytest.fixture(autouse=True)
def scope():
    with DefaultScope.overwrite_default_scope('mmdet3d'):
        yield


class Model(nn.Module):

    def __init__(self):
        super().__init__()
        self.img_backbone = nn.Linear(5, 4)
        self.point_encoder = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
        self.point_encoder_2 = nn.Linear(4, 1)  # its name begins like a prefix, but is another module

    def forward(self, x):
        return self.point_encoder_2(self.point_encoder(self.img_backbone(x).relu())).square().mean()


def model_and_batches(num_batches):
    torch.manual_seed(0)
    return Model(), torch.randn(num_batches, 8, 5)


def build(model, optimizer=OPTIMIZER, **kwargs):
    cfg = dict(type='OptimWrapper', constructor='HybridOptimWrapperConstructor', optimizer=optimizer)
    return build_optim_wrapper(model, copy.deepcopy(dict(cfg, **kwargs)))


def by_hand(model):
    others = [*model.img_backbone.parameters(), *model.point_encoder_2.parameters()]
    return [torch.optim.AdamW(model.point_encoder.parameters(), **ADAMW),
            torch.optim.SGD(others, **SGD)]


def train_by_hand(model, batches, accumulate=1, max_norm=None, bf16=False, gamma=0.9):
    optimizers = by_hand(model)
    schedulers = [torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma) for optimizer in optimizers]
    for index, batch in enumerate(batches):
        with torch.autocast('cpu', dtype=torch.bfloat16, enabled=bf16):
            loss = model(batch)
        (loss / accumulate).backward()
        if (index + 1) % accumulate == 0:
            if max_norm is not None:
                torch.nn.utils.clip_grad_norm_([p for optimizer in optimizers for group in
                                                optimizer.param_groups for p in group['params']], max_norm)
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad()
        for scheduler in schedulers:
            scheduler.step()


def train(model, batches, wrapper, scheduler=None):
    scheduler = scheduler or ExponentialLR(wrapper, gamma=0.9)
    for batch in batches:
        with wrapper.optim_context(model):
            loss = model(batch)
        wrapper.update_params(loss)
        scheduler.step()
    return scheduler


def assert_equal(model, other):
    for (name, value), expected in zip(model.state_dict().items(), other.state_dict().values()):
        assert torch.equal(value, expected), name


@pytest.mark.filterwarnings('ignore:Detected call of')  # accumulating, the schedules go on first
@pytest.mark.parametrize('settings, wrapper_cfg', [
    (dict(), dict()),
    (dict(accumulate=3), dict(accumulative_counts=3)),
    (dict(max_norm=0.05), dict(clip_grad=dict(max_norm=0.05))),
    (dict(bf16=True), dict(type='CPUAmpOptimWrapper')),
])
def test_equals_separate_optimizers_bit_for_bit(settings, wrapper_cfg):
    model, batches = model_and_batches(12)
    reference, start = copy.deepcopy(model), copy.deepcopy(model)
    train_by_hand(reference, batches, **settings)
    train(model, batches, build(model, **wrapper_cfg))
    assert_equal(model, reference)
    assert not torch.equal(model.img_backbone.weight, start.img_backbone.weight)


@pytest.mark.skipif(not hasattr(torch.amp, 'GradScaler'), reason='torch before 2.3 has no GradScaler for CPUs')
def test_grad_scaler_unscales_and_skips_infinite_gradients():
    model, batches = model_and_batches(4)
    reference = copy.deepcopy(model)
    train_by_hand(reference, batches, gamma=1.0)
    optimizer = build(model).optimizer
    scaler = torch.amp.GradScaler('cpu', init_scale=2.0**10)
    for batch in batches:
        scaler.scale(model(batch)).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
    assert_equal(model, reference)

    before = copy.deepcopy(model)
    (scaler.scale(model(batches[0])) * float('inf')).backward()
    scaler.step(optimizer)
    assert torch.equal(model.img_backbone.weight, before.img_backbone.weight)


@pytest.mark.parametrize('optimizer', [OPTIMIZER, dict(reversed(OPTIMIZER.items()))])
def test_resumes_from_its_state_dict(optimizer):
    model, batches = model_and_batches(10)
    reference = copy.deepcopy(model)
    train_by_hand(reference, batches)

    wrapper = build(model, optimizer)
    scheduler = train(model, batches[:5], wrapper)
    saved = copy.deepcopy((model.state_dict(), wrapper.state_dict(), scheduler.state_dict()))

    resumed = Model()
    resumed.load_state_dict(saved[0])
    wrapper = build(resumed, optimizer)
    wrapper.load_state_dict(saved[1])
    scheduler = ExponentialLR(wrapper, gamma=0.9)
    scheduler.load_state_dict(saved[2])
    train(resumed, batches[5:], wrapper, scheduler)
    assert_equal(resumed, reference)


def test_refuses_the_state_of_other_parts():
    model, _ = model_and_batches(1)
    other = build(model, optimizer=dict(img_backbone=OPTIMIZER['point_encoder'],
                                        default=OPTIMIZER['default']))
    with pytest.raises(ValueError, match='img_backbone.*does not fit.*point_encoder'):
        build(model).load_state_dict(other.state_dict())


def test_every_trainable_parameter_is_in_exactly_one_part():
    model, _ = model_and_batches(1)
    model.img_backbone.bias.requires_grad = False
    optimizer = build(model, optimizer={
        'point_encoder': dict(type='AdamW', lr=1e-3), 'point_encoder.1': dict(type='SGD', lr=0.1),
        'default': dict(type='SGD', lr=0.2)}).optimizer
    owned = {part: {id(p) for group in item.param_groups for p in group['params']}
             for part, item in optimizer.optimizers.items()}
    assert owned == {
        'point_encoder': {id(p) for p in model.point_encoder[0].parameters()},
        'point_encoder.1': {id(p) for p in model.point_encoder[1].parameters()},
        'default': {id(model.img_backbone.weight), *map(id, model.point_encoder_2.parameters())}}


def test_learning_rates_are_visible_to_mmengine():
    model, _ = model_and_batches(1)
    wrapper = build(model)
    assert wrapper.get_lr() == dict(base_lr=[0.03], lr=[1e-2, 0.03])
    for group in wrapper.optimizer.param_groups:  # as auto_scale_lr does
        group['lr'] *= 2
    assert [item.param_groups[0]['lr'] for item in wrapper.optimizer.optimizers.values()] == [0.02, 0.06]


def test_parameterwise_settings_apply_within_each_part():
    model, _ = model_and_batches(1)
    optimizer = build(model, paramwise_cfg=dict(norm_decay_mult=0.0, bias_lr_mult=2.0)).optimizer
    settings = {id(group['params'][0]): (group['lr'], group['weight_decay'])
                for group in optimizer.param_groups}
    assert len(settings) == len(list(model.parameters()))
    assert settings[id(model.point_encoder[1].weight)] == (1e-2, 0.0)
    assert settings[id(model.point_encoder[0].bias)] == (2e-2, 0.01)
    assert settings[id(model.img_backbone.bias)] == (0.06, 1e-2)
    assert settings[id(model.img_backbone.weight)] == (0.03, 1e-2)


def test_a_frozen_part_is_left_out():
    model, batches = model_and_batches(2)
    model.point_encoder.requires_grad_(False)
    optimizer = build(model).optimizer
    assert list(optimizer.optimizers) == ['default']


def test_closure_is_called_once():
    model, batches = model_and_batches(1)
    calls = []

    def closure():
        loss = model(batches[0])
        loss.backward()
        calls.append(loss)
        return loss

    assert build(model).optimizer.step(closure) is calls[0]
    assert len(calls) == 1


def test_takes_no_parameters_afterwards():
    model, _ = model_and_batches(1)
    with pytest.raises(NotImplementedError, match='no further'):
        build(model).optimizer.add_param_group(dict(params=[nn.Parameter(torch.zeros(1))]))


def test_refuses_a_parameter_in_two_parts():
    weight = nn.Parameter(torch.zeros(1))
    with pytest.raises(ValueError, match='more than one parameter group'):
        HybridOptimizer(dict(a=torch.optim.SGD([weight], lr=1.0), b=torch.optim.SGD([weight], lr=1.0)),
                        base_lr=1.0)


@pytest.mark.parametrize('optimizer, message', [
    (dict(points=OPTIMIZER['default'], default=OPTIMIZER['default']),
     r'optimizer\.points: no parameter has this prefix; .*img_backbone, point_encoder'),
    (dict(point_encoder=OPTIMIZER['default']), r'no optimizer for 4 parameters \(img_backbone.weight'),
    (dict(default=dict(type='AdamWW', lr=1.0)), r"default\.type: .*'AdamWW'; did you mean 'AdamW'"),
    (dict(default=dict(type='SGD', lr=1.0, momentun=0.9)), r"momentun: .* did you mean 'momentum'"),
    (dict(type='SGD', lr=1.0), 'expects one optimizer per prefix'),
    (dict(default=dict(type='SGD', lr=1.0), lr=0.1), 'expects one optimizer per prefix'),
])
def test_mistakes_in_the_config_are_explained(optimizer, message):
    model, _ = model_and_batches(1)
    with pytest.raises(ConfigError, match=message):
        build(model, optimizer=optimizer)


def test_scalars_get_no_weight_decay():
    model = Model()
    model.log_scale = nn.Parameter(torch.tensor(2.6))
    wrapper = build(model)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    before = copy.deepcopy(model)
    wrapper.step()
    assert model.log_scale == before.log_scale
    assert not torch.equal(model.img_backbone.weight, before.img_backbone.weight)
    paramwise = build(model, paramwise_cfg=dict(bias_decay_mult=0.))
    assert [group['weight_decay'] for group in paramwise.param_groups
            if group['params'][0] is model.log_scale] == [0]


def test_fused_where_torch_can(monkeypatch):
    """One pass over the weights; before torch 2.4 on GPUs alone, and not for SGD."""
    fused = {name: dict(cfg, fused=True) for name, cfg in OPTIMIZER.items()}
    model, batches = model_and_batches(5)
    reference, left_out = copy.deepcopy(model), copy.deepcopy(model)
    train_by_hand(reference, batches)
    train(model, batches, build(model, fused))

    def comparable(trained):
        """Without the bias before batch norm: its gradient is rounding alone, which Adam makes as large as any."""
        return {name: value for name, value in trained.state_dict().items()
                if name not in ('point_encoder.0.bias', 'point_encoder.1.running_mean')}

    torch.testing.assert_close(comparable(model), comparable(reference))

    def refuses(self, *args, **kwargs):
        original(self, *args, **kwargs)
        if kwargs.get('fused'):
            raise RuntimeError('fused=True is not supported')

    original = torch.optim.SGD.__init__
    monkeypatch.setattr(torch.optim.SGD, '__init__', refuses)
    wrapper = build(left_out, fused)
    assert not wrapper.optimizer.optimizers['default'].param_groups[0].get('fused')
    train(left_out, batches, wrapper)
    torch.testing.assert_close(comparable(left_out), comparable(reference))
