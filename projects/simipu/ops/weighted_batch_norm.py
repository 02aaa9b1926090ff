"""Batch normalisation of rows that each stand for several equal rows."""
from typing import Optional

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import batch_norm


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
    group = _process_group(norm)
    normed, mean, var, total = _WeightedBatchNormReLU.apply(
        rows, weights.to(torch.float32), norm.weight, norm.bias, norm.eps, group)
    if norm.training and norm.running_mean is not None:
        _update_running_statistics(norm, mean, var * (total / (total - 1)))
    return normed


def _process_group(norm: nn.Module) -> Optional[dist.ProcessGroup]:
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


def _sum_over(group: Optional[dist.ProcessGroup], *sums: Tensor) -> Tensor:
    """Concatenated ``sums``, added up over the processes of ``group``."""
    joined = torch.cat([value.reshape(-1) for value in sums])
    if group is not None:
        dist.all_reduce(joined, group=group)
    return joined


class _WeightedBatchNormReLU(torch.autograd.Function):
    """Keeps its input only: an affine normalisation is cheaper to repeat than to store."""

    @staticmethod
    def forward(ctx, rows, weights, scale, shift, eps, group):
        channels = rows.shape[1]
        values = rows if rows.dtype == torch.float64 else rows.float()
        weights = weights.to(values.dtype)
        sums = _sum_over(group, weights @ values, weights.sum())
        total, mean = sums[channels], sums[:channels] / sums[channels]
        centred = values - mean
        var = _sum_over(group, weights @ centred.square()) / total
        inverse = (var + eps).rsqrt()
        normed = centred.mul_(inverse * scale).add_(shift).relu_().to(rows.dtype)
        ctx.save_for_backward(rows, weights, scale, shift, mean, inverse, total)
        ctx.group = group
        ctx.mark_non_differentiable(mean, var, total)
        return normed, mean, var, total

    @staticmethod
    @once_differentiable
    def backward(ctx, grad, *_):
        rows, weights, scale, shift, mean, inverse, total = ctx.saved_tensors
        channels = rows.shape[1]
        standard = (rows.to(mean.dtype) - mean).mul_(inverse)
        grad = grad.to(mean.dtype) * (standard * scale + shift > 0)
        grad_shift, grad_scale = grad.sum(0), (grad * standard).sum(0)
        sums = _sum_over(ctx.group, grad_shift, grad_scale) / total
        # d/dx of the statistics reaches a row in proportion to its weight.
        through_statistics = standard.mul_(sums[channels:]).add_(sums[:channels])
        grad_rows = (grad - weights[:, None] * through_statistics).mul_(inverse * scale)
        return grad_rows.to(rows.dtype), None, grad_scale, grad_shift, None, None
