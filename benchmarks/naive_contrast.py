"""The unoptimised matching and InfoNCE that benchmarks and tests compare with."""
import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch.nn.functional import cross_entropy, normalize

from simipu.models.losses import InfoNCEResult
from simipu.models.matchers import Matches


def info_nce(query, key, temperature=0.07):
    """All logits at once: the loss, and the (K, K) logits for :func:`top_k_accuracies`."""
    logits = normalize(query, dim=1) @ normalize(key, dim=1).T / temperature
    return cross_entropy(logits, torch.arange(len(query), device=query.device)), logits


def top_k_accuracies(logits, counts):
    """Percentage of rows whose diagonal element is among the ``k`` largest, for each of ``counts``."""
    rows = logits.topk(max(counts), dim=1).indices
    hits = rows == torch.arange(len(logits), device=logits.device)[:, None]
    return [100 * hits[:, :k].any(1).float().mean() for k in counts]


class NaiveInfoNCE(torch.nn.Module):
    """:func:`info_nce` in the place of :class:`InfoNCELoss`; ranks by sorting each row."""

    def forward(self, query, key, **place):
        loss, logits = info_nce(query, key)
        order = logits.argsort(dim=1, descending=True)
        own = torch.arange(len(query), device=query.device)[:, None]
        return InfoNCEResult(loss, (order == own).int().argmax(1))


def hungarian(xyz_a, xyz_b):
    """Assignment of least total distance, frame by frame, from all differences at once."""
    parts = []
    for frame, (a, b) in enumerate(zip(xyz_a.double().cpu().numpy(), xyz_b.double().cpu().numpy())):
        rows, columns = linear_sum_assignment(np.linalg.norm(a[:, None] - b[None], axis=-1))
        parts.append((np.full(len(rows), frame), rows, columns))
    return Matches(*(torch.from_numpy(np.concatenate(part)).to(xyz_a.device) for part in zip(*parts)))
