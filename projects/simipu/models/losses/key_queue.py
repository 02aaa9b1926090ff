"""Keys of past batches, as further negatives."""
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import ConfigError
from .gather import gather_row_counts, gather_rows


class KeyQueue(nn.Module):
    """The newest keys of past batches (He et al., MoCo, CVPR 2020).

    It starts empty, and offers only keys that were put in. Of several processes each puts in the keys of
    all, in the order of ranks, so that the queue is the same everywhere. The state dict holds all of it.

    Args:
        size: Keys that it holds at most; should be much fewer than there are pairs in an epoch, or a
            frame meets its own keys again.
        width: D, width of a key.
    """

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        if size < 1:
            raise ConfigError(f'KeyQueue: size must be positive, got {size}; None has no queue')
        self.register_buffer('rows', torch.zeros(size, width))
        self.register_buffer('num_enqueued', torch.zeros((), dtype=torch.long))

    def keys(self) -> Tensor:
        """(Q, D) unit vectors, Q up to ``size``, in the order of their places in the ring."""
        return self.rows[:min(int(self.num_enqueued), len(self.rows))]

    @torch.no_grad()
    def enqueue(self, keys: Tensor) -> None:
        """Add the keys (K, D) of this process, any number K; the oldest keys are dropped."""
        keys = F.normalize(keys.to(self.rows.dtype), dim=1)
        keys = gather_rows(keys, gather_row_counts(keys))
        place = (self.num_enqueued + torch.arange(len(keys), device=keys.device)) % len(self.rows)
        newest = slice(max(len(keys) - len(self.rows), 0), None)
        self.rows[place[newest]] = keys[newest]
        self.num_enqueued += len(keys)
