"""The sparse convolution encoder against dense convolutions on the whole grid."""
import pytest
import torch
from torch import nn
from torch.nn.functional import conv3d, max_pool3d

from simipu.errors import DependencyError
from simipu.models.point_encoders import SparseConvEncoder, spconv_library

if spconv_library.spconv is None:
    pytest.skip('no spconv', allow_module_level=True)
CHANNELS, VOXEL_SIZE = (6, 8, 10), 0.5


@pytest.fixture(autouse=True)
def library_for_the_device(device):
    if device == 'cpu' and spconv_library._NEEDS_GPU:
        pytest.skip('no spconv that computes on CPUs')
    if device == 'cuda' and not spconv_library._NEEDS_GPU and spconv_library._is_cpu_build():
        pytest.skip('no spconv that computes on GPUs')


def make_encoder():
    torch.manual_seed(0)
    encoder = SparseConvEncoder(in_channels=5, num_points=20, voxel_size=VOXEL_SIZE,
                                channels=CHANNELS, out_channels=12)
    for norm in encoder.modules():
        if isinstance(norm, nn.BatchNorm1d):
            nn.init.uniform_(norm.running_mean, -0.1, 0.1)
            nn.init.uniform_(norm.running_var, 0.5, 1.5)
    return encoder


def clouds(num_points=200, seed=0):
    points = torch.rand(2, num_points, 5, generator=torch.Generator().manual_seed(seed), device='cpu')
    return 4 * points.to(torch.empty(0).device) - torch.tensor([1., 2, 3, 0, 0])


def dense_input(points):
    """(B, 5, X, Y, Z) voxel means and occupancy, by a loop over points; cell -8 comes first."""
    total, count = torch.zeros(2, 5, 16, 16, 16), torch.zeros(2, 1, 16, 16, 16)
    for b, cloud in enumerate(points):
        for point in cloud:
            cell = torch.floor(point[:3] / VOXEL_SIZE)
            offset = point[:3] / VOXEL_SIZE - cell - 0.5
            x, y, z = (cell + 8).long().tolist()
            total[b, :, x, y, z] += torch.cat([offset, point[3:]])
            count[b, 0, x, y, z] += 1
    return total / count.clamp(min=1), (count > 0).float()


def dense_features(encoder, points, rows):
    """What ``encoder`` computes, with dense convolutions masked to the occupied voxels."""
    maps, occupied = dense_input(points)
    found = []
    for level, layers in enumerate(encoder.levels):
        for layer in layers:
            if isinstance(layer, nn.BatchNorm1d):
                maps = nn.functional.batch_norm(maps, layer.running_mean, layer.running_var,
                                                layer.weight, layer.bias, eps=layer.eps)
            elif isinstance(layer, nn.ReLU):
                maps = maps.relu() * occupied
            elif layer.subm:
                maps = conv3d(maps, layer.weight.permute(0, 4, 1, 2, 3), padding=1) * occupied
            else:
                occupied = max_pool3d(occupied, 2)
                maps = conv3d(maps, layer.weight.permute(0, 4, 1, 2, 3), stride=2)
        for b in range(2):
            cells = (torch.floor(points[b, rows[b], :3] / VOXEL_SIZE) + 8).long() >> level
            found.append(maps[b, :, cells[:, 0], cells[:, 1], cells[:, 2]].t())
    return encoder.join(torch.cat([torch.cat(found[i:i + 2]) for i in (0, 2, 4)], dim=1))


def test_equals_dense_convolutions():
    encoder = make_encoder().eval()
    points = clouds()
    result = encoder(points)
    expected = dense_features(encoder, points, result.indices)
    assert result.features.shape == (2, 20, encoder.out_channels)
    assert expected.std() > 0.01
    torch.testing.assert_close(result.features.flatten(0, 1), expected, rtol=1e-4, atol=1e-5)


def test_result_describes_points_of_the_input_and_sampling_is_used_again():
    encoder = make_encoder()
    points = clouds()
    first = encoder(points)
    rows = first.indices[..., None].expand(-1, -1, 3)
    assert torch.equal(points[..., :3].gather(1, rows), first.xyz)
    other = clouds(seed=1)
    assert torch.equal(encoder(other, sampling=first.sampling).indices, first.indices)
    assert not torch.equal(encoder(other).indices, first.indices)


def test_features_depend_neither_on_the_order_of_points_nor_on_the_other_clouds():
    encoder = make_encoder().eval()
    points = clouds()
    rows = torch.arange(20).expand(2, -1)
    expected = encoder(points, sampling=(rows, )).features
    shuffled = torch.cat([points[:, :20], points[:, 20:][:, torch.randperm(180)]], dim=1)
    torch.testing.assert_close(encoder(shuffled, sampling=(rows, )).features, expected)
    # Moved by the coarsest level's voxels, so that the second cloud is far from the first.
    single = points[:1] + torch.tensor([4 * VOXEL_SIZE * 50, 0, 0, 0, 0])
    alone = encoder(torch.cat([points[1:], single]), sampling=(rows, )).features
    torch.testing.assert_close(alone[0], expected[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('autocast', [False, True])
def test_every_parameter_gets_a_gradient(autocast, device):
    encoder = make_encoder()
    with torch.autocast(device, torch.bfloat16, enabled=autocast):
        features = encoder(clouds()).features
    (features * torch.randn_like(features)).sum().backward()
    for name, parameter in encoder.named_parameters():
        assert torch.isfinite(parameter.grad).all() and parameter.grad.abs().sum() > 0, name


def test_bad_points_are_errors():
    encoder = make_encoder()
    with pytest.raises(ValueError, match=r'expects \(B, N > 0, 5\) points'):
        encoder(torch.rand(1, 10, 4))
    with pytest.raises(ValueError, match='NaN or infinite'):
        encoder(torch.full((1, 10, 5), float('nan')))


def test_weights_do_not_depend_on_the_algorithm():
    """So that a checkpoint of one machine is one for all: kernels lie as (out, x, y, z, in) everywhere."""
    shapes = {name: tuple(value.shape) for name, value in make_encoder().state_dict().items() if value.ndim == 5}
    assert shapes['levels.0.0.weight'] == (6, 3, 3, 3, 5) and shapes['levels.1.0.weight'] == (8, 2, 2, 2, 6)


def test_the_native_algorithm_is_taken_on_a_cpu(device):
    encoder = make_encoder()
    encoder(clouds())
    algorithms = {layer.algo for layer in encoder.modules() if hasattr(layer, 'algo')}
    known = spconv_library.spconv.ConvAlgo
    assert algorithms == {known.Native if device == 'cpu' else known.MaskImplicitGemm}


def test_no_library_is_an_error_that_names_those_for_this_python(monkeypatch):
    monkeypatch.setattr(spconv_library, 'spconv', None)
    with pytest.raises(DependencyError, match=r'pip install spconv-cu1\d\d .*PointNet2Encoder of configs/\S+ *$'):
        make_encoder()


def test_a_library_for_gpus_alone_is_an_error_on_a_cpu(monkeypatch):
    monkeypatch.setattr(spconv_library, '_NEEDS_GPU', True)
    with pytest.raises(DependencyError, match='spconv-triton computes on GPUs alone, and the points are on cpu'):
        make_encoder()(clouds().cpu())


def test_results_equal_those_recorded_with_another_build_of_spconv():
    """Of spconv-cu120 2.3.6 with torch 2.13, on a CPU."""
    encoder = make_encoder().eval()
    with torch.no_grad():
        for value in encoder.parameters():
            value.copy_(torch.arange(1, 1 + value.numel()).sin().view_as(value) / value[0].numel() ** 0.5)
        for name, value in encoder.named_buffers():
            value.fill_(1 if name.endswith('var') else 0)
    features = encoder(clouds(), sampling=(torch.arange(20).expand(2, -1), )).features
    expected = torch.tensor([1.6235, 1.6353, 0.1056, 0.0208, 0, 0, 1.3329, 1.3607, 0.1194, 0.0089, 0, 0])
    torch.testing.assert_close(features.mean((0, 1)), expected, rtol=1e-4, atol=1e-4)


def test_mixed_precision_in_bfloat16_computes_in_float32(device):
    encoder, points = make_encoder(), clouds()
    with torch.autocast(device, torch.bfloat16):
        mixed = encoder(points).features
    torch.testing.assert_close(mixed, make_encoder()(points).features)
