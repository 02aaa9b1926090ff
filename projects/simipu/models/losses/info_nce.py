"""InfoNCE over pairs of embeddings, with memory linear in the number of pairs."""
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
import torch.nn.functional as F
from mmdet3d.registry import MODELS
from mmengine.dist import get_rank, get_world_size
from torch import Tensor, nn

from ...errors import ConfigError
from ...ops.neighbors import squared_distances
from .gather import gather_row_counts, gather_rows

# The largest log(1 / temperature) that is learned, as in CLIP (Radford et al., 2021).
MAX_LOG_SCALE = math.log(100)
# Logits that are held at a time. On a CPU no slab of them has more rows: 256 rows of some thousand keys stay in the
# cache. On a GPU each slab costs a dozen launches, and two slabs of this size 1 GB.
MAX_LOGITS_CPU, ROWS_IN_CACHE = 2**22, 256
MAX_LOGITS_GPU = 2**27


class InfoNCEResult(NamedTuple):
    """``loss``: scalar; ``rank`` (K,): how many negatives are at least as similar as the positive."""
    loss: Tensor
    rank: Tensor

    def top_k_accuracy(self, k: int) -> Tensor:
        """Percentage of queries whose positive is among the ``k`` most similar keys."""
        if not len(self.rank):
            return self.loss.new_zeros(())
        return (self.rank < k).float().mean() * 100


class _ChunkedInfoNCE(torch.autograd.Function):
    """Sum over queries of -log softmax of the positive, never holding more than a slab of logits.

    The gradient of a row's loss with respect to its logits is known once the row is: softmax minus
    one at the positive. So the gradients of query and key are accumulated in the forward pass and
    only scaled in the backward one; no slab is computed twice.
    """

    @staticmethod
    def forward(ctx, query, key, first_positive, exclude, max_logits):
        need_query, need_key = ctx.needs_input_grad[:2]
        loss = query.new_zeros(())
        rank = torch.empty(len(query), dtype=torch.long, device=query.device)
        grad_query = torch.empty_like(query) if need_query else None
        grad_key = torch.zeros_like(key) if need_key else None
        slab = _slab_rows(query, len(key), max_logits)
        slab_logits, slab_below = (query.new_empty(min(slab, len(query)), len(key)) for _ in range(2))
        for start in range(0, len(query), slab):
            rows = slice(start, min(start + slab, len(query)))
            own = slice(first_positive + rows.start, first_positive + rows.stop)
            logits, below = (buffer[:rows.stop - start] for buffer in (slab_logits, slab_below))
            torch.mm(query[rows], key.T, out=logits)
            positive = logits[:, own].diagonal()[:, None].clone()
            if exclude is not None:
                excluded = exclude(rows)
                excluded[:, own].diagonal().fill_(False)
                logits[:, :excluded.shape[1]].masked_fill_(excluded, -torch.inf)
            # NaN is not below, so it counts as a rival. The positive is not its own.
            torch.lt(logits, positive, out=below)
            rank[rows] = (len(key) - 1 - below.sum(1)).long()
            largest = logits.amax(1, keepdim=True)
            exponentials = logits.sub_(largest).exp_()
            total = exponentials.sum(1, keepdim=True)
            loss += (largest + total.log() - positive).sum()
            # Rows are divided by their total after the product, where they are narrow.
            if need_query:
                grad_query[rows] = exponentials @ key / total - key[own]
            if need_key:
                grad_key.addmm_(exponentials.T, query[rows] / total)
                grad_key[own] -= query[rows]
        ctx.save_for_backward(grad_query, grad_key)
        ctx.mark_non_differentiable(rank)
        return loss, rank

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad_loss, _):
        grads = (None if grad is None else grad * grad_loss for grad in ctx.saved_tensors)
        return *grads, None, None, None


def _slab_rows(query: Tensor, num_keys: int, max_logits: int | None) -> int:
    """How many queries are compared with all keys at a time."""
    on_cpu = query.device.type == 'cpu'
    rows = max(1, (max_logits or (MAX_LOGITS_CPU if on_cpu else MAX_LOGITS_GPU)) // max(num_keys, 1))
    return min(rows, ROWS_IN_CACHE) if on_cpu else rows


@contextmanager
def _products_on_tensor_cores(query: Tensor) -> Iterator[None]:
    """In mixed precision on a GPU, factors of float32 products have the 10 binary digits of TF32, sums all of them.

    So logits of unit vectors over temperature 0.07 are off by less than 0.01, which is less than what rounding the
    features before did to them.
    """
    before = torch.get_float32_matmul_precision()
    if query.is_cuda and torch.is_autocast_enabled():
        torch.set_float32_matmul_precision('high')
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@MODELS.register_module()
class InfoNCELoss(nn.Module):
    """Each query must find its own key among the keys of all pairs (SimIPU's losses).

    For unit vectors q_i and k_j and temperature t,

        loss = mean over i of  -log( exp(q_i k_i / t) / sum over j of exp(q_i k_j / t) ).

    Args:
        temperature: t above; the start value where it is learned.
        learn_temperature: Learn log(1 / t) with the rest of the model; t stays at 0.01 or above.
        symmetric: Average with the loss in which keys look for their queries.
        false_negative_radius: Metres. A negative of the same frame that lies this near to the
            positive, or at the same place, is no negative and leaves the sum. ``None`` keeps all.
        mask_same_cell: A negative in the positive's feature cell is no negative and leaves the sum,
            where cells are given.
        gather: Take negatives from every process. The mean over processes of the loss and of its
            gradients is then exactly that of one process with the joined batch.
        max_logits: How many logits are held at a time; bounds memory, changes no result. None: what suits the device,
            2^22 on a CPU and 2^27 on a GPU.

    Where several cameras see a point, each of its pairs has the same key; these are no negatives of each other, so
    that no pixel is pushed away from its own point (see ``point`` of ``forward``).

    Every accuracy counts a tie with the positive as a mistake, so that a collapsed encoder, to which
    all keys are equal, scores 0 and not 100.

    Examples:
        >>> import torch
        >>> from simipu.models.losses import InfoNCELoss
        >>> pixels, points = torch.eye(4, requires_grad=True), torch.eye(4)
        >>> result = InfoNCELoss(temperature=0.1)(pixels, points)
        >>> result.loss.backward()
        >>> result.top_k_accuracy(1).item()
        100.0
    """

    def __init__(self,
                 temperature: float = 0.07,
                 learn_temperature: bool = False,
                 symmetric: bool = False,
                 false_negative_radius: float | None = None,
                 mask_same_cell: bool = True,
                 gather: bool = False,
                 max_logits: int | None = None) -> None:
        super().__init__()
        if temperature <= 0:
            raise ConfigError(f'InfoNCELoss: temperature must be positive, got {temperature}')
        self.symmetric = symmetric
        self.false_negative_radius = false_negative_radius
        self.mask_same_cell = mask_same_cell
        self.gather = gather
        self.max_logits = max_logits
        self.temperature = temperature
        self.log_scale = (nn.Parameter(torch.tensor(-math.log(temperature)))
                          if learn_temperature else None)

    def forward(self,
                query: Tensor,
                key: Tensor,
                frame: Tensor | None = None,
                position: Tensor | None = None,
                cell: Tensor | None = None,
                point: Tensor | None = None,
                extra_keys: Tensor | None = None) -> InfoNCEResult:
        """Contrast pairs; row i of ``query`` and row i of ``key`` belong together.

        Args:
            query: (K, D), of any length; normalised here.
            key: (K, D).
            frame: (K,) integers, the frame that a pair is from.
            position: (K, 3) metres, the point of a pair in its frame's LiDAR coordinates; needed
                with ``frame`` where ``false_negative_radius`` is set.
            cell: (K,) integers, equal for pairs of one frame whose keys or queries are the same
                feature cell; such pairs are no negatives of each other. Optional, needs ``frame``.
            point: (K,) integers, equal for pairs of one frame that have the same point, and so the same key; such
                pairs are no negatives of each other. Optional, needs ``frame``.
            extra_keys: (Q, D), further negatives of every query, such as keys of past batches; the
                same in every process. They get no gradient, and no part in the symmetric direction.

        Returns:
            ``InfoNCEResult``; 0 with gradients of zero where there is no pair.
        """
        if query.shape != key.shape or query.ndim != 2:
            raise ConfigError('InfoNCELoss expects query and key of one shape (K, D), got '
                              f'{tuple(query.shape)} and {tuple(key.shape)}')
        if self.log_scale is not None:
            self.log_scale.data.clamp_(max=MAX_LOG_SCALE)
        with _products_on_tensor_cores(query), torch.autocast(query.device.type, enabled=False):
            precision = torch.promote_types(query.dtype, torch.float32)
            query = F.normalize(query.to(precision), dim=1)
            key = F.normalize(key.to(precision), dim=1)
            if extra_keys is not None:
                extra_keys = F.normalize(extra_keys.detach().to(precision), dim=1)
            counts = gather_row_counts(query) if self.gather else [len(query)]
            exclude = self._exclusion(counts, frame, position, cell, point)
            loss, rank = self._contrast(query, key, counts, exclude, extra_keys)
            if self.symmetric:
                loss = (loss + self._contrast(key, query, counts, exclude)[0]) / 2
        return InfoNCEResult(loss, rank)

    def _contrast(self, query: Tensor, key: Tensor, counts: list[int],
                  exclude: Callable | None, extra_keys: Tensor | None = None
                  ) -> tuple[Tensor, Tensor]:
        """Mean over the pairs of all processes in ``counts``, times their number (DDP averages)."""
        query = query / self.temperature if self.log_scale is None else query * self.log_scale.exp()
        first_positive = sum(counts[:get_rank()]) if len(counts) > 1 else 0
        key = gather_rows(key, counts)
        if extra_keys is not None:
            key = torch.cat([key, extra_keys])
        total, rank = _ChunkedInfoNCE.apply(query, key, first_positive, exclude, self.max_logits)
        return total * (len(counts) / max(sum(counts), 1)), rank

    def _exclusion(self, counts: list[int], frame: Tensor | None, position: Tensor | None,
                   cell: Tensor | None, point: Tensor | None) -> Callable[[slice], Tensor] | None:
        """Function from a slab of rows to the (rows, pairs) mask of pairs that are no negatives."""
        radius = self.false_negative_radius
        cell = cell if self.mask_same_cell else None
        if radius is None and cell is None and point is None:
            return None
        if frame is None or (radius is not None and position is None):
            raise ConfigError('InfoNCELoss: false_negative_radius needs the frame and position of '
                              'every pair, and cell and point need its frame')
        # Frames of different processes are different frames, whatever their numbers.
        frame = frame * get_world_size() + get_rank() if len(counts) > 1 else frame
        frames = gather_rows(frame, counts)
        positions = None if radius is None else gather_rows(position, counts)
        # Equal numbers, in either: no negatives of each other.
        numbered = [(own, gather_rows(own, counts)) for own in (cell, point) if own is not None]

        def exclude(rows: slice) -> Tensor:
            near = torch.zeros(len(frame[rows]), len(frames), dtype=torch.bool, device=frame.device)
            if positions is not None:
                near |= squared_distances(position[None, rows], positions[None])[0] <= radius**2
            for own, others in numbered:
                near |= own[rows, None] == others
            return near & (frame[rows, None] == frames)

        return exclude
