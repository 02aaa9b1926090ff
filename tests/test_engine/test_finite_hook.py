"""Losses, gradients and weights that are NaN or infinite, in a model of one weight whose steps are known."""
import math

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.runner import Runner
from torch import nn

from simipu.engine import FiniteHook
from simipu.errors import CheckpointError, TrainingError

NAN, INF = math.nan, math.inf


class OneWeight(BaseModel):
    """loss = weight * slope + offset, so that SGD moves the weight by -lr * slope; batch norm sees the slope."""

    def __init__(self, weight=1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))
        self.norm = nn.BatchNorm1d(1, affine=False)

    def forward(self, slope, offset, mode='loss'):
        self.norm(torch.stack([slope, slope + 1]))
        return dict(loss=(self.weight * slope + offset).sum())


needs_scaler_on_cpu = pytest.mark.skipif(not hasattr(torch.amp, 'GradScaler'),
                                         reason='torch before 2.3 has no GradScaler for CPUs')


class CPUScaledOptimWrapper(AmpOptimWrapper):
    """MMEngine's wrapper with GradScaler, which it refuses to build without an accelerator."""
    optim_context = OptimWrapper.optim_context
    _scale_update_param = None

    def __init__(self, optimizer, init_scale, **kwargs):
        OptimWrapper.__init__(self, optimizer, **kwargs)
        self.loss_scaler = torch.amp.GradScaler('cpu', init_scale=init_scale)


def train(work_dir, batches, model=None, wrapper=None, hook=None, lr=0.1, **kwargs):
    """Train for one iteration a batch, each a slope or a (slope, offset)."""
    batches = [batch if isinstance(batch, tuple) else (batch, 0.0) for batch in batches]
    model = model or OneWeight()
    wrapper = wrapper(torch.optim.SGD(model.parameters(), lr=lr)) if wrapper else dict(
        optimizer=dict(type='SGD', lr=lr))
    runner = Runner(
        model, str(work_dir), custom_hooks=[dict(type='FiniteHook', **hook or {})],
        train_cfg=dict(by_epoch=False, max_iters=len(batches)),
        train_dataloader=dict(
            dataset=[dict(slope=torch.tensor([slope]), offset=torch.tensor(offset)) for slope, offset in batches],
            batch_size=1, sampler=dict(type='DefaultSampler', shuffle=False), collate_fn=dict(type='default_collate')),
        optim_wrapper=wrapper, default_scope='mmdet3d', log_level='WARNING',
        experiment_name=f'{work_dir}_{len(batches)}'.replace('/', '_'),
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=1)), **kwargs)
    runner.train()
    return runner


@pytest.mark.parametrize('bad', [NAN, INF, -INF, (1.0, NAN), (1.0, INF)])
def test_a_bad_step_is_left_out_counted_and_leaves_no_trace(tmp_path, bad, capfd):
    runner = train(tmp_path, [2.0, bad, bad, 3.0])
    expected = train(tmp_path / 'good', [2.0, 3.0])
    for name, value in expected.model.state_dict().items():
        assert torch.equal(runner.model.state_dict()[name], value), name
    assert runner.model.weight.item() == pytest.approx(1 - 0.1 * 5)
    history, _ = runner.message_hub.get_scalar('train/non_finite_steps').data
    assert history.tolist() == [1, 2, 2]
    assert 'iteration 3: loss or gradients are NaN or infinite' in ''.join(capfd.readouterr())


def test_without_the_hook_one_bad_step_spoils_the_weight(tmp_path, monkeypatch):
    for method in ('before_train', 'before_train_iter', 'after_train_iter', 'before_save_checkpoint'):
        monkeypatch.setattr(FiniteHook, method, lambda *args, **kwargs: None)
    assert train(tmp_path, [2.0, NAN, 3.0]).model.weight.isnan()


def test_bad_steps_in_a_row_stop_the_training(tmp_path):
    with pytest.raises(TrainingError, match=r'iteration 7: .* in 3 steps in a row.* rate .*up to 0\.1.*check-dataset'
                       r'.*good checkpoint is .*iter_6\.pth: --resume'):
        train(tmp_path, [2.0, NAN, NAN, 1.0, NAN, INF, NAN, 1.0], hook=dict(max_in_a_row=3))
    saved = torch.load(tmp_path / 'iter_6.pth', weights_only=True)['state_dict']
    assert saved['weight'].item() == pytest.approx(1 - 0.1 * 3)


def test_a_weight_that_overflows_is_not_saved(tmp_path):
    with pytest.raises(TrainingError, match=r'iteration 2: the weights became NaN or infinite \(weight\) and were not '
                       r'saved.*good checkpoint is .*iter_1\.pth'):
        train(tmp_path, [0.0, 1e10, 1.0], lr=1e30)
    assert [path.name for path in tmp_path.glob('*.pth')] == ['iter_1.pth']


def test_a_weight_that_is_nan_from_the_start_is_an_error(tmp_path):
    with pytest.raises(CheckpointError, match=r'weights to start from hold NaN or infinity \(weight\)'):
        train(tmp_path, [1.0], model=OneWeight(NAN))


def test_accumulated_batches_are_left_out_together(tmp_path):
    runner = train(tmp_path, [2.0, 4.0, NAN, 9.0, 2.0, 2.0], model=(model := OneWeight()),
                   wrapper=lambda optimizer: OptimWrapper(optimizer, accumulative_counts=2))
    assert model.weight.item() == pytest.approx(1 - 0.1 * (3 + 2))
    assert runner.message_hub.get_info('non_finite_steps') == 1
    assert model.norm.num_batches_tracked == 4
    within = torch.load(tmp_path / 'iter_3.pth', weights_only=True)['state_dict']  # after the NaN, before its step
    assert all(value.isfinite().all() for value in within.values())


@needs_scaler_on_cpu
def test_the_search_for_a_scale_is_no_error(tmp_path):
    """Slopes of 1e18, of which the square is finite, overflow until the scale has fallen from 2^73 to 2^68."""
    runner = train(tmp_path, [1e18] * 6, hook=dict(max_in_a_row=2),
                   wrapper=lambda optimizer: CPUScaledOptimWrapper(optimizer, 2.0**73))
    assert runner.optim_wrapper.loss_scaler.get_scale() == 2.0**68
    assert 'non_finite_steps' not in runner.message_hub.runtime_info
    assert runner.model.weight.item() == pytest.approx(-1e17)


@needs_scaler_on_cpu
def test_a_scale_that_fell_for_nothing_is_an_error(tmp_path):
    with pytest.raises(TrainingError, match='iteration 6: .* 3 steps in a row'):  # 4, 2, 1 are allowed
        train(tmp_path, [NAN] * 8, hook=dict(max_in_a_row=3),
              wrapper=lambda optimizer: CPUScaledOptimWrapper(optimizer, 8.0))


def test_count_goes_on_after_resuming(tmp_path):
    train(tmp_path, [NAN, 1.0])
    assert train(tmp_path, [NAN, 1.0, 1.0, NAN], resume=True).message_hub.get_info('non_finite_steps') == 2
