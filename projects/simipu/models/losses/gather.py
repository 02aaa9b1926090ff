"""Collect rows of every process, with gradients that flow back to the process that owns them."""
import torch
import torch.distributed as torch_dist
from mmengine.dist import get_rank, get_world_size
from torch import Tensor


def gather_row_counts(rows: Tensor) -> list[int]:
    """Number of rows that each process holds; ``[len(rows)]`` without a process group."""
    if get_world_size() == 1:
        return [len(rows)]
    counts = [torch.zeros(1, dtype=torch.long, device=rows.device) for _ in range(get_world_size())]
    torch_dist.all_gather(counts, torch.tensor([len(rows)], device=rows.device))
    return [int(count) for count in counts]


class _GatherRows(torch.autograd.Function):
    """Concatenation over processes; its adjoint sums the gradients of all and returns each its own."""

    @staticmethod
    def forward(ctx, rows, counts):
        padded = rows.new_zeros(max(counts), *rows.shape[1:])
        padded[:len(rows)] = rows
        gathered = [torch.empty_like(padded) for _ in counts]
        torch_dist.all_gather(gathered, padded)
        start = sum(counts[:get_rank()])
        ctx.own_rows = slice(start, start + len(rows))
        return torch.cat([block[:count] for block, count in zip(gathered, counts)])

    @staticmethod
    def backward(ctx, grad):
        # A copy: autograd may hand the same tensor to others, and the reduction works in place.
        grad = grad.clone(memory_format=torch.contiguous_format)
        torch_dist.all_reduce(grad)
        return grad[ctx.own_rows], None


def gather_rows(rows: Tensor, counts: list[int]) -> Tensor:
    """Rows of all processes in rank order.

    Args:
        rows: (K, ...) of this process; K may differ between processes and may be 0.
        counts: K of every process, see ``gather_row_counts``.

    Returns:
        (sum of counts, ...); the gradient of a row is the sum of its gradients in every process.
    """
    return rows if len(counts) == 1 else _GatherRows.apply(rows, counts)
