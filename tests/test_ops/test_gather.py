"""Gathering and pooling by row against indexing."""
import pytest
import torch

from simipu import ops
from simipu.ops import gather as module


def groups_of(num_groups, size, num_rows, seed=0):
    """(G, K) rows; half of the groups are filled up with their first row as ball query does."""
    torch.manual_seed(seed)
    rows = torch.randint(num_rows, (num_groups, size))
    rows[::2, size // 2:] = rows[::2, :1]
    return rows


def test_gather_and_group_pick_columns(device):
    features = torch.rand(2, 3, 10)
    rows = torch.randint(10, (2, 4, 5))
    grouped = ops.group_points(features, rows)
    assert grouped.shape == (2, 3, 4, 5)
    for b, m, k in torch.cartesian_prod(torch.arange(2), torch.arange(4), torch.arange(5)).tolist():
        assert torch.equal(grouped[b, :, m, k], features[b, :, rows[b, m, k]])
    assert torch.equal(ops.gather_points(features, rows[..., 0]), grouped[..., 0])


def test_gather_and_group_gradients(device):
    features = torch.rand(2, 3, 6, dtype=torch.float64, requires_grad=True)
    rows = torch.randint(6, (2, 4, 3))
    assert torch.autograd.gradcheck(lambda x: ops.group_points(x, rows), features)
    assert torch.autograd.gradcheck(lambda x: ops.gather_points(x, rows[..., 0]), features)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64, torch.bfloat16])
def test_gather_max_is_the_maximum_of_the_group(dtype, device):
    features, rows = torch.randn(50, 7).to(dtype), groups_of(300, 8, 50)
    assert torch.equal(ops.gather_max(features, rows), features[rows].max(1)[0])


def test_gather_max_gradients(device):
    features = torch.randn(20, 5, dtype=torch.float64, requires_grad=True)
    rows = groups_of(30, 6, 20)
    assert torch.autograd.gradcheck(lambda x: ops.gather_max(x, rows), features)


def test_gather_max_gives_the_gradient_to_the_first_of_equals():
    features = torch.tensor([[1.], [2.], [2.]], requires_grad=True)
    ops.gather_max(features, torch.tensor([[0, 2, 1]])).backward()
    assert features.grad.tolist() == [[0], [0], [1]]


def test_plain_torch_version_agrees(monkeypatch):
    monkeypatch.setattr(module, 'MAX_BLOCK_ELEMENTS', 500)  # several chunks
    features, rows = torch.randn(50, 7), groups_of(300, 8, 50)
    for ours, plain in zip(module._gather_max_numba(features, rows),
                           module.gather_max_torch(features, rows)):
        assert torch.equal(ours.long() if ours.dtype == torch.int32 else ours, plain)


def test_gradients_of_half_precision_are_added_up_in_single_precision(device):
    features = torch.ones(1, 3, dtype=torch.bfloat16, requires_grad=True)
    ops.gather_max(features, torch.zeros(300, 2, dtype=torch.long)).sum().backward()
    assert features.grad.tolist() == [[300] * 3]
