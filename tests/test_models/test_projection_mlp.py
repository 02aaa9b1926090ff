"""The projection of any number of layers, against its arithmetic written out."""
import pytest
import torch

from simipu.errors import ConfigError
from simipu.geometry import bilinear_samples, sample_features
from simipu.models.projection_mlp import ProjectionMLP

pytestmark = pytest.mark.usefixtures('device')


def by_hand(mlp: ProjectionMLP, rows: torch.Tensor) -> torch.Tensor:
    """In train mode, where a fresh batch norm only standardises each column."""
    for number, (linear, norm) in enumerate(mlp.layers):
        rows = (rows.relu() if number else rows) @ linear.weight.T + linear.bias
        rows = (rows - rows.mean(0)) / (rows.var(0, unbiased=False) + norm.eps).sqrt()
    return rows


@pytest.mark.parametrize('num_layers, widths', [(1, [(5, 4)]), (2, [(5, 7), (7, 4)]),
                                                (3, [(5, 7), (7, 7), (7, 4)])])
def test_layers_and_what_they_compute(num_layers, widths):
    torch.manual_seed(0)
    mlp = ProjectionMLP(5, hidden_channels=7, out_channels=4, num_layers=num_layers)
    assert [(linear.in_features, linear.out_features) for linear, _ in mlp.layers] == widths
    rows = torch.randn(12, 5)
    torch.testing.assert_close(mlp(rows), by_hand(mlp, rows))


def test_without_layers_it_is_refused():
    with pytest.raises(ValueError, match='num_layers must be 1 or more, got 0'):
        ProjectionMLP(5, num_layers=0)


@pytest.mark.parametrize('num_pixels', [10, 40])
def test_samples_of_feature_maps_are_projected_like_their_features(num_pixels):
    """The first layer runs on what is fewer, 24 cells or the pixels; embeddings and gradients are the same."""
    torch.manual_seed(0)
    mlp = ProjectionMLP(5, hidden_channels=7, out_channels=4).double()
    rows_seen = []
    mlp.layers[0][0].register_forward_hook(lambda layer, inputs, output: rows_seen.append(len(output)))
    maps = torch.randn(2, 5, 3, 4, dtype=torch.float64, requires_grad=True)
    image, pixels = torch.arange(num_pixels) % 2, torch.rand(num_pixels, 2) * 80 - 8
    samples = bilinear_samples(maps, image, pixels, (48, 64))
    signal = torch.randn(num_pixels, 4, dtype=torch.float64)
    results = []
    for features in (samples, sample_features(maps[image], pixels[:, None], (48, 64))[:, 0]):
        embeddings = mlp(features)
        results.append((embeddings, *torch.autograd.grad((embeddings * signal).sum(), [maps, *mlp.parameters()])))
    assert rows_seen == [min(num_pixels, 24), num_pixels]
    torch.testing.assert_close(*results)


def test_samples_of_maps_of_another_width_are_refused():
    samples = bilinear_samples(torch.rand(1, 6, 3, 4), torch.zeros(9).long(), torch.rand(9, 2), (48, 64))
    with pytest.raises(ConfigError, match=r'expects features \(K, 5\), got \(12, 6\); set its in_channels'):
        ProjectionMLP(5)(samples)
