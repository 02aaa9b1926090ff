"""The PointNet++ encoder against mmdet3d's own modules on naive point operations."""
import json
import sys
from pathlib import Path

import pytest
import torch
from mmdet3d.models.backbones import PointNet2SAMSG
from mmdet3d.registry import MODELS

from simipu.errors import ConfigError
from simipu.models.point_encoders import PointNet2Encoder, PortableSAModuleMSG

sys.path.append(str(Path(__file__).resolve().parents[2] / 'benchmarks'))
import naive_points

# The paper's three levels made small: every sampling method, three balls a level.
SMALL = dict(
    num_points=(96, 32, (24, 16)),
    radii=((0.3, 0.6, 1.2), (0.6, 1.2, 2.4), (1.6, 3.2, 4.8)),
    num_samples=((4, 8, 16), (4, 8, 16), (8, 8, 8)),
    sa_channels=(((6, 8), (6, 8), (4, 6, 8)), ((8, 8), (8, 8), (8, 8)), ((8, 8), (8, 8), (8, 16))),
    aggregation_channels=(8, None, 12),
    fps_mods=('D-FPS', 'FS', ('F-FPS', 'D-FPS')),
    fps_sample_range_lists=(-1, -1, (32, -1)),
    norm_cfg=dict(type='BN2d', eps=1e-3, momentum=0.1))


@pytest.fixture(autouse=True)
def double_precision():
    """Both paths agree to 1e-9 in float64; in float32 rounding would hide a small mistake."""
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def clouds(channels=5, num_points=300):
    points = 3 * torch.rand(2, num_points, channels)
    points[:, 5] = points[:, 4]  # a duplicate
    return points


def pair_of_encoders(in_channels=5, **sa_cfg):
    """Ours and mmdet3d's with the same random weights."""
    ours = PointNet2Encoder(in_channels, **SMALL, **sa_cfg)
    for parameter in ours.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    cfg = dict(dict(pool_mod='max', use_xyz=False, normalize_xyz=False), **sa_cfg)
    theirs = PointNet2SAMSG(in_channels, **SMALL, sa_cfg=dict(type='PointSAModuleMSG', **cfg))
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


def run_mmdet3d(encoder, points):
    with naive_points.mmdet3d_on_cpu():
        result = encoder(points)
    return (result['sa_xyz'][-1], result['sa_features'][-1].transpose(1, 2),
            result['sa_indices'][-1])


def assert_same(ours, theirs):
    torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize('in_channels, sa_cfg', [
    (5, dict(use_xyz=False)),
    (5, dict(use_xyz=True)),
    (3, dict(use_xyz=True)),
])
def test_equals_mmdet3d_in_training_and_evaluation(in_channels, sa_cfg, device):
    ours, theirs = pair_of_encoders(in_channels, **sa_cfg)
    for training in (True, True, False):
        ours.train(training), theirs.train(training)
        points = clouds(in_channels)
        result = ours(points)
        xyz, features, indices = run_mmdet3d(theirs, points)
        assert torch.equal(result.indices, indices) and torch.equal(result.xyz, xyz)
        assert features.std() > 0.1
        assert_same(result.features, features)
        signal = torch.randn_like(features)
        ours.zero_grad(), theirs.zero_grad()
        result.features.backward(signal), features.backward(signal)
        for a, b in zip(ours.parameters(), theirs.parameters()):
            assert_same(a.grad, b.grad)
        for a, b in zip(ours.buffers(), theirs.buffers()):
            assert_same(a, b)


def test_single_precision_stays_close_on_a_real_frame(real_data):
    file = sorted((real_data / 'kitti/training/velodyne').glob('*.bin'))[-1]
    points = torch.frombuffer(bytearray(file.read_bytes()), dtype=torch.float32).reshape(1, -1, 4)
    points = points[:, torch.randperm(points.shape[1])[:1500]]
    ours, theirs = pair_of_encoders(4)
    ours(points.double()), theirs.load_state_dict(ours.state_dict())  # statistics of such points
    ours.float().eval(), theirs.float().eval()
    with torch.no_grad():
        expected = run_mmdet3d(theirs, points)
        result = ours(points)
    assert torch.equal(result.indices, expected[2])
    assert (result.features - expected[1]).abs().max() < 1e-4 * max(1, expected[1].abs().max())


def test_default_settings_have_the_released_weights_names_and_shapes(reference):
    released = json.loads((reference / 'released_checkpoint_keys.json').read_text())['model']
    prefix = 'pts_backbone.'
    expected = {key[len(prefix):]: tuple(shape) for key, shape in released.items()
                if key.startswith(prefix)}
    encoder = PointNet2Encoder()
    assert {key: tuple(value.shape) for key, value in encoder.state_dict().items()} == expected
    assert encoder.out_channels == 1024


def test_result_describes_points_of_the_input(device):
    encoder = MODELS.build(dict(type='PointNet2Encoder', in_channels=5, **SMALL))
    points = clouds()
    result = encoder(points)
    assert result.features.shape == (2, 24 + 16, encoder.out_channels)
    assert result.indices.dtype == torch.long
    rows = result.indices[..., None].expand(-1, -1, 3)
    assert torch.equal(points[..., :3].gather(1, rows), result.xyz)


def test_sampling_of_one_view_is_used_again_in_another(device):
    encoder = PointNet2Encoder(5, **SMALL)
    first = encoder(clouds())
    other = encoder(clouds(), sampling=first.sampling)
    assert torch.equal(other.indices, first.indices)
    assert not torch.equal(encoder(clouds()).indices, first.indices)


def test_two_levels_without_aggregation(device):
    encoder = PointNet2Encoder(
        4, num_points=(64, 16), radii=((0.5, ), (1.0, )), num_samples=((8, ), (8, )),
        sa_channels=(((8, 8), ), ((8, 24), )), aggregation_channels=None,
        fps_mods=('D-FPS', 'D-FPS'), fps_sample_range_lists=(-1, -1), use_xyz=True)
    assert encoder.out_channels == 24
    assert encoder(clouds(4)).features.shape == (2, 16, 24)


def test_mixed_precision_runs_and_samples_the_same_first_level(device):
    encoder = PointNet2Encoder(5, **SMALL).float()
    points = clouds().float()
    exact = encoder(points)
    with torch.autocast(device, torch.bfloat16):
        result = encoder(points)
    result.features.sum().backward()
    assert torch.equal(result.sampling[0], exact.sampling[0])
    assert all(torch.isfinite(parameter.grad).all() for parameter in encoder.parameters())


@pytest.mark.parametrize('points', [torch.rand(1, 50, 4), torch.rand(1, 0, 5)])
def test_wrong_points_are_an_error(points):
    with pytest.raises(ValueError, match=r'expects \(B, N > 0, 5\) points, got'):
        PointNet2Encoder(5, **SMALL)(points)


def test_settings_that_cannot_work_are_errors():
    with pytest.raises(ValueError, match='no features: set use_xyz=True'):
        PointNet2Encoder(3, **SMALL)
    with pytest.raises(ConfigError, match='batch normalisation'):
        PortableSAModuleMSG(8, [1.0], [4], [[3, 8]], norm_cfg=dict(type='GN', num_groups=2))
    with pytest.raises(ValueError, match='num_point'):
        PortableSAModuleMSG(None, [1.0], [4], [[3, 8]])
