"""Batch normalisation of rows that each stand for several equal rows."""

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import batch_norm

from . import _batch_norm_numba, _batch_norm_torch
from .backend import has_triton


def weighted_batch_norm_relu(rows: Tensor, weights: Tensor, norm: nn.Module) -> Tensor:
    """``relu(norm(x))``, where ``x`` holds row r of ``rows`` ``weights[r]`` times.

    Statistics, running statistics (with the variance unbiased by the repeated count) and gradients
    are those of the repeated rows, which are never made. With ``nn.SyncBatchNorm`` the statistics
    are shared by its process group.

    Args:
        rows (Tensor): (R, C).
        weights (Tensor): (R,) how often each row counts; zero takes it out of the statistics.
        norm (nn.Module): ``nn.BatchNorm1d/2d/3d`` or ``nn.SyncBatchNorm`` of C channels.

    Returns:
        Tensor: (R, C).
    """
    if not norm.training and norm.running_mean is not None:
        return batch_norm(rows, norm.running_mean, norm.running_var, norm.weight, norm.bias,
                          eps=norm.eps).relu_()
    with torch.autocast(rows.device.type, enabled=False):
        normed, mean, var, total = _WeightedBatchNormReLU.apply(
            rows, weights, norm.weight, norm.bias, norm.eps, _process_group(norm))
    if norm.training and norm.running_mean is not None:
        _update_running_statistics(norm, mean, var * (total / (total - 1)))
    return normed


def _process_group(norm: nn.Module) -> dist.ProcessGroup | None:
    """The group over which statistics are summed, None for this process alone."""
    if not (isinstance(norm, nn.SyncBatchNorm) and norm.training and dist.is_initialized()):
        return None
    return norm.process_group or dist.group.WORLD


@torch.no_grad()
def _update_running_statistics(norm: nn.Module, mean: Tensor, unbiased_var: Tensor) -> None:
    norm.num_batches_tracked += 1
    momentum = norm.momentum
    if momentum is None:  # torch's convention for a cumulative average
        momentum = 1 / norm.num_batches_tracked.item()
    norm.running_mean.lerp_(mean.to(norm.running_mean.dtype), momentum)
    norm.running_var.lerp_(unbiased_var.to(norm.running_var.dtype), momentum)


def _kernels_for(rows: Tensor):
    """The module whose passes run where ``rows`` are."""
    if rows.device.type == 'cpu':
        return _batch_norm_numba
    if rows.is_cuda and has_triton():
        from . import _batch_norm_triton
        return _batch_norm_triton
    return _batch_norm_torch


def _sum_over(group: dist.ProcessGroup | None, *sums: Tensor) -> Tensor:
    """Concatenated ``sums``, added up over the processes of ``group``."""
    joined = torch.cat([value.reshape(-1) for value in sums])
    if group is not None:
        dist.all_reduce(joined, group=group)
    return joined


class _WeightedBatchNormReLU(torch.autograd.Function):
    """Keeps its input only: normalising again is cheaper than storing the result."""

    @staticmethod
    def forward(ctx, rows, weights, scale, shift, eps, group):
        kernels, channels, dtype = _kernels_for(rows), rows.shape[1], rows.dtype
        precision = torch.promote_types(dtype, torch.float32)
        if not kernels.TAKES_HALF_PRECISION:
            rows = rows.to(precision)
        weights = weights.to(precision)
        sums = _sum_over(group, kernels.weighted_sum(rows, weights), weights.sum())
        total, mean = sums[channels], sums[:channels] / sums[channels]
        var = _sum_over(group, kernels.weighted_square_sum(rows, weights, mean)) / total
        inverse = (var + eps).rsqrt()
        normed = kernels.normalize_relu(rows, mean, inverse, scale, shift)
        ctx.save_for_backward(rows, weights, scale, shift, mean, inverse, total)
        ctx.group = group
        ctx.mark_non_differentiable(mean, var, total)
        return normed.to(dtype), mean, var, total

    @staticmethod
    @once_differentiable
    def backward(ctx, grad, *_):
        rows, weights, scale, shift, mean, inverse, total = ctx.saved_tensors
        kernels, channels, dtype = _kernels_for(rows), rows.shape[1], grad.dtype
        if not kernels.TAKES_HALF_PRECISION:
            grad = grad.to(rows.dtype)
        grad_shift, grad_scale = kernels.gradient_sums(rows, grad, mean, inverse, scale, shift)
        sums = _sum_over(ctx.group, grad_shift, grad_scale) / total
        grad_rows = kernels.gradient(rows, grad, weights, mean, inverse, scale, shift,
                                     sums[:channels], sums[channels:])
        return grad_rows.to(dtype), None, grad_scale, grad_shift, None, None
