"""Gathering features of points by row, and pooling them over groups of rows."""
import numpy as np
import torch
from numba import prange
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..jit import njit
from .backend import MAX_BLOCK_ELEMENTS, choose, to_numpy, use_torch_threads

CENTERS_PER_TASK = 128


def gather_points(features: Tensor, rows: Tensor) -> Tensor:
    """Features of the given points; differentiable.

    Args:
        features (Tensor): (B, C, N).
        rows (Tensor): (B, M) long.

    Returns:
        Tensor: (B, C, M).
    """
    return features.gather(2, rows[:, None].expand(-1, features.shape[1], -1))


def group_points(features: Tensor, rows: Tensor) -> Tensor:
    """Features of the given groups of points; differentiable.

    Args:
        features (Tensor): (B, C, N).
        rows (Tensor): (B, M, K) long.

    Returns:
        Tensor: (B, C, M, K).
    """
    return gather_points(features, rows.flatten(1)).unflatten(2, rows.shape[1:])


def gather_max(features: Tensor, rows: Tensor) -> Tensor:
    """Largest feature of each group of rows, channel by channel; differentiable.

    The same as ``features[rows].max(1)``, but the grouped (M, K, C) features are never in memory
    at once. The gradient goes to the first row of a group that attains the maximum (in plain torch
    on CUDA: to one of them).

    Args:
        features (Tensor): (R, C).
        rows (Tensor): (M, K) long.

    Returns:
        Tensor: (M, C).
    """
    return _GatherMax.apply(features, rows)


class _GatherMax(torch.autograd.Function):

    @staticmethod
    def forward(ctx, features: Tensor, rows: Tensor) -> Tensor:
        pool = choose(features, cpu=_gather_max_numba, triton=_gather_max_triton, plain=gather_max_torch)
        pooled, winners = pool(features, rows)
        ctx.save_for_backward(winners)
        ctx.num_rows = features.shape[0]
        return pooled

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):
        winners, = ctx.saved_tensors
        precision = torch.promote_types(grad.dtype, torch.float32)  # in half precision 256 + 1 is 256
        grad_features = grad.new_zeros(ctx.num_rows, grad.shape[1], dtype=precision)
        return grad_features.scatter_add_(0, winners.long(), grad.to(precision)).to(grad.dtype), None


def gather_max_torch(features: Tensor, rows: Tensor):
    """(M, C) maxima and the rows that attain them, in plain torch, in chunks of groups."""
    chunk = max(1, MAX_BLOCK_ELEMENTS // max(1, rows.shape[1] * features.shape[1]))
    pooled, winners = [], []
    for block in rows.split(chunk):
        # On CUDA torch may pick any of several equal rows.
        values, position = features[block].max(1)
        pooled.append(values)
        winners.append(block.gather(1, position))
    return torch.cat(pooled), torch.cat(winners)


def _gather_max_triton(features: Tensor, rows: Tensor):
    from ._triton_kernels import gather_max_triton
    return gather_max_triton(features, rows)


def _gather_max_numba(features: Tensor, rows: Tensor):
    use_torch_threads()
    pooled = features.new_empty(rows.shape[0], features.shape[1])
    winners = torch.empty(pooled.shape, dtype=torch.int32)
    _gather_max_kernel(to_numpy(features), to_numpy(rows), pooled.numpy(), winners.numpy())
    return pooled, winners


@njit(parallel=True)
def _gather_max_kernel(features, rows, pooled, winners):
    num_centers, num_samples = rows.shape
    for task in prange((num_centers + CENTERS_PER_TASK - 1) // CENTERS_PER_TASK):
        for m in range(task * CENTERS_PER_TASK, min((task + 1) * CENTERS_PER_TASK, num_centers)):
            first = rows[m, 0]
            pooled[m] = features[first]
            winners[m] = np.int32(first)
            for k in range(1, num_samples):
                row = rows[m, k]
                if row == first:  # how ball query fills up short groups
                    continue
                for c in range(features.shape[1]):
                    better = features[row, c] > pooled[m, c]
                    pooled[m, c] = features[row, c] if better else pooled[m, c]
                    winners[m, c] = np.int32(row) if better else winners[m, c]
