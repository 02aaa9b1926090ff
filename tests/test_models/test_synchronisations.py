"""How often a training step makes the host wait for the device."""
import sys
from pathlib import Path

import pytest
import torch
from mmdet3d.registry import MODELS
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper

from simipu.models.point_encoders import set_abstraction

PROJECT = Path(__file__).resolve().parents[2]
sys.path.append(str(PROJECT / 'benchmarks'))
from frames import made_up_batch
from synchronisations import Synchronisations

# What the host must know: both views' voxels, whether the views belong together, and how many pairs there are.
ALLOWED = {
    'simipu_kitti.py': {'models/matchers.py': 1, 'models/point_encoders/sparse_conv.py': 2, 'models/simipu.py': 1},
    'simipu_r50-pointnet2_8xb4-100e_kitti.py': {'models/matchers.py': 1, 'models/simipu.py': 1},
}


def small_model(config):
    """A model with a small image backbone, and few sampled points."""
    model = config.model
    model.img_backbone.update(depth=18, base_channels=8)
    model.inter_head.query_projector.in_channels = 64
    small = dict(SparseConvEncoder=dict(num_points=64, channels=(4, 4, 4, 8), out_channels=1024),
                 PointNet2Encoder=dict(num_points=(256, 128, (64, 64)), fps_sample_range_lists=(-1, -1, (128, -1))))
    model.point_encoder.update(small[model.point_encoder.type])
    return MODELS.build(model).train()


def raw(batch):
    """A batch as it comes from the loader."""
    images = (batch.inputs['imgs'] * 50 + 100).byte()
    inputs = dict(points=list(batch.inputs['points']), points_aug=list(batch.inputs['points_aug']),
                  img=[list(images[:, camera]) for camera in range(images.shape[1])])
    return dict(inputs=inputs, data_samples=batch.data_samples)


def by_file(found):
    counts = {}
    for (place, _), count in found.items():
        file = place.split(':')[0]
        counts[file] = counts.get(file, 0) + count
    return counts


@pytest.mark.parametrize('name', ALLOWED)
def test_a_step_synchronises_in_few_places(name, monkeypatch, mmdet3d_scope):
    # As on a GPU; what runs in numba on a CPU is left out of the count.
    monkeypatch.setattr(set_abstraction, '_keeps_unused', lambda groups: True)
    config = Config.fromfile(PROJECT / 'configs' / name)
    model = small_model(config)
    optimizer = build_optim_wrapper(model, config.optim_wrapper)
    data = raw(made_up_batch(2, 600))
    with Synchronisations() as found:
        model.train_step(data, optimizer)
    assert by_file(found) == ALLOWED[name], found


@pytest.mark.parametrize('wait', [
    lambda x: x.sum().item(), lambda x: bool(x.any()), lambda x: x.tolist(), lambda x: x.cpu(), lambda x: x.nonzero(),
    lambda x: x[x > 0], lambda x: x.masked_select(x > 0), lambda x: x.unique(), lambda x: x.new_tensor([1]),
    lambda x: x.long().repeat_interleave(x.long()), lambda x: x.long().bincount(), lambda x: x.equal(x),
    lambda x: x.masked_scatter(x > 0, x).index_put((x > 0, ), x.sum())])
def test_the_counter_sees_what_waits(wait):
    with Synchronisations() as found:
        wait(torch.ones(3))
    assert sum(found.values()) == 1, found


def test_the_counter_sees_nothing_where_nothing_waits():
    with Synchronisations() as found:
        x = torch.ones(3, requires_grad=True)
        (x.where(x > 0, 0)[torch.arange(2)].sum() * x.new_full((), 2)).backward()
    assert not found


@pytest.mark.parametrize('use_xyz', [False, True])
def test_rows_of_weight_0_change_nothing(use_xyz, monkeypatch):
    """A GPU computes them: copies in groups, and points in no group."""
    torch.manual_seed(0)
    module = set_abstraction.PortableSAModuleMSG(
        num_point=20, radii=(0.3, 0.6), sample_nums=(4, 8), mlp_channels=((3, 8, 8), (3, 8, 8)),
        use_xyz=use_xyz).double()
    points, features = torch.rand(2, 60, 3).double(), torch.rand(2, 3, 60).double().requires_grad_()
    results = []
    for keeps in (False, True):
        monkeypatch.setattr(set_abstraction, '_keeps_unused', lambda groups: keeps)
        pooled = module(points, features)[1]
        module.zero_grad()
        grad, = torch.autograd.grad(pooled.square().sum(), features)
        results.append((pooled, grad))
    for ours, theirs in zip(*results):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)
