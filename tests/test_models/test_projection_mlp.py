"""The projection of any number of layers, against its arithmetic written out."""
import pytest
import torch

from simipu.models.projection_mlp import ProjectionMLP


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
