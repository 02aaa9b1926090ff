"""Weighted batch normalisation against torch's own on repeated rows."""
import copy
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from simipu.ops import _batch_norm_torch, weighted_batch_norm, weighted_batch_norm_relu

CHANNELS = 5


def make_norm(kind=nn.BatchNorm2d, channels=CHANNELS, **kwargs):
    norm = kind(channels, eps=1e-3, **kwargs).double()
    norm.weight.data = torch.tensor([1.5, -0.7, 0.3, 2, 1], dtype=torch.float64).repeat(channels)[:channels]
    norm.bias.data = torch.tensor([0, 0.3, -0.8, 1, -0.1], dtype=torch.float64).repeat(channels)[:channels]
    return norm


def make_rows(num_rows=700, seed=1, channels=CHANNELS):
    torch.manual_seed(seed)
    rows = 3 + 2 * torch.randn(num_rows, channels, dtype=torch.float64)
    weights = torch.randint(0, 5, (num_rows, ))
    return rows.requires_grad_(), weights


def repeated(rows, weights, norm):
    """relu(norm(x)) of really repeated rows, as torch does it on a (1, C, 1, total) map."""
    # Contiguous: torch 2.13's backward is wrong for a transposed view of this shape on CPU.
    normed = norm(rows.repeat_interleave(weights, dim=0).t()[None, :, None].contiguous())
    return normed[0, :, 0].t().relu()


def assert_same(ours, theirs, what):
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9, msg=lambda m: f'{what}: {m}')


def check_against_batch_norm_of_repeated_rows(num_rows=700, channels=CHANNELS, **kwargs):
    ours, theirs = (make_norm(channels=channels, **kwargs) for _ in range(2))
    for seed in (1, 2):  # twice, for the running statistics
        (rows, weights), (other_rows, _) = (make_rows(num_rows, seed, channels) for _ in range(2))
        result = weighted_batch_norm_relu(rows, weights, ours)
        expected = repeated(other_rows, weights, theirs)
        assert_same(result.repeat_interleave(weights, dim=0), expected, 'outputs')
        signal = torch.randn_like(expected)
        result.backward(torch.zeros_like(result).index_add(
            0, torch.arange(len(rows), device=rows.device).repeat_interleave(weights), signal))
        expected.backward(signal)
        assert_same(rows.grad, other_rows.grad, 'gradient')
    for (name, a), b in zip(ours.named_parameters(), theirs.parameters()):
        assert_same(a.grad, b.grad, name)
    for (name, a), b in zip(ours.named_buffers(), theirs.buffers()):
        assert_same(a, b, name)


@pytest.mark.parametrize('kwargs', [dict(momentum=0.1), dict(momentum=None), dict(track_running_stats=False)])
def test_equals_batch_norm_of_repeated_rows(kwargs, device):
    check_against_batch_norm_of_repeated_rows(**kwargs)


def test_plain_torch_version_equals_batch_norm_of_repeated_rows(device, monkeypatch):
    monkeypatch.setattr(weighted_batch_norm, '_kernels_for', lambda rows: _batch_norm_torch)
    check_against_batch_norm_of_repeated_rows()


def test_evaluation_uses_the_running_statistics(device):
    norm = make_norm()
    rows, weights = make_rows()
    weighted_batch_norm_relu(rows, weights, norm)
    before = copy.deepcopy(norm.state_dict())
    norm.eval()
    assert_same(weighted_batch_norm_relu(rows, weights, norm),
                repeated(rows, torch.ones_like(weights), norm), 'outputs')
    assert all(torch.equal(a, b) for a, b in zip(before.values(), norm.state_dict().values()))


def test_gradients_numerically(device):
    norm = make_norm()
    rows, weights = make_rows(12)
    assert torch.autograd.gradcheck(lambda x: weighted_batch_norm_relu(x, weights, norm), rows)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_half_precision_rows_are_normalised_in_float32(dtype, device):
    check_half_precision(dtype, device)


def check_half_precision(dtype, device, num_rows=700, channels=CHANNELS):
    norms = [make_norm(channels=channels).float() for _ in range(2)]
    rows, weights = make_rows(num_rows, channels=channels)
    half = rows.detach().to(dtype).requires_grad_()
    exact = half.detach().float().requires_grad_()
    with torch.autocast(device, torch.bfloat16):
        result = weighted_batch_norm_relu(half, weights, norms[0])
    expected = weighted_batch_norm_relu(exact, weights, norms[1])
    signal = torch.randn_like(result)
    result.backward(signal)
    expected.backward(signal.float())
    assert result.dtype == half.grad.dtype == dtype
    # The last digit may differ: Triton's interpreter cuts bfloat16 off, and a GPU adds in another order.
    tolerance = dict(rtol=torch.finfo(dtype).eps, atol=1e-5)
    torch.testing.assert_close(result.float(), expected, **tolerance)
    torch.testing.assert_close(half.grad.float(), exact.grad, **tolerance)
    for (name, a), b in zip(norms[0].state_dict().items(), norms[1].state_dict().values()):
        torch.testing.assert_close(a, b, msg=lambda m: f'{name}: {m}')
    for a, b in zip(norms[0].parameters(), norms[1].parameters()):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-5, atol=1e-4)


class ThreadsAsProcesses:
    """A process group of two threads; ``all_reduce`` waits for both and adds up."""

    def __init__(self):
        self.values = []
        self.barrier = threading.Barrier(2, timeout=60)

    def all_reduce(self, tensor, group):
        assert group is self
        self.values.append(tensor.clone())
        self.barrier.wait()
        total = sum(self.values)
        self.barrier.wait()
        self.values.clear()
        self.barrier.wait()
        tensor.copy_(total)


def test_sync_batch_norm_shares_statistics_between_processes(monkeypatch):
    group = ThreadsAsProcesses()
    monkeypatch.setattr(torch.distributed, 'is_initialized', lambda: True)
    monkeypatch.setattr(torch.distributed, 'all_reduce', group.all_reduce)
    all_rows, all_weights = make_rows()
    signal = torch.randn_like(all_rows)

    def one_process(part):
        norm = make_norm(nn.SyncBatchNorm)
        norm.process_group = group
        rows = all_rows.detach()[part].requires_grad_()
        result = weighted_batch_norm_relu(rows, all_weights[part], norm)
        result.backward(signal[part])
        return result, rows.grad, norm.weight.grad, norm.running_var

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(one_process, [slice(0, 300), slice(300, None)])
    norm = make_norm()
    result = weighted_batch_norm_relu(all_rows, all_weights, norm)
    result.backward(signal)
    assert_same(torch.cat([first[0], second[0]]), result, 'outputs')
    assert_same(torch.cat([first[1], second[1]]), all_rows.grad, 'gradient')
    assert_same(first[2] + second[2], norm.weight.grad, 'weight')
    for process in (first, second):
        assert_same(process[3], norm.running_var, 'running variance')
