"""Which point of the second view is which point of the first."""
from typing import NamedTuple

import numpy as np
import torch
from mmdet3d.registry import MODELS
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from ..errors import ConfigError


class Matches(NamedTuple):
    """K pairs: point ``index_a`` of frame ``batch`` is point ``index_b``; each (K,) long."""
    batch: Tensor
    index_a: Tensor
    index_b: Tensor


def _distances(xyz_a: Tensor, xyz_b: Tensor) -> Tensor:
    """(B, M, N) metres, in double precision, so that rounding does not choose between pairs.

    Not by a matrix product, which loses digits far from the origin.
    """
    return torch.cdist(xyz_a.double(), xyz_b.double(), compute_mode='donot_use_mm_for_euclid_dist')


def _within(matches: Matches, xyz_a: Tensor, xyz_b: Tensor, max_distance: float | None) -> Matches:
    """The matches whose points lie at most ``max_distance`` metres apart."""
    if max_distance is None:
        return matches
    batch, index_a, index_b = matches
    near = (xyz_a[batch, index_a] - xyz_b[batch, index_b]).norm(dim=-1) <= max_distance
    return Matches(batch[near], index_a[near], index_b[near])


@MODELS.register_module()
class HungarianMatcher:
    """One-to-one assignment of least total distance (SimIPU's matching algorithm).

    Args:
        max_distance: Metres. Costs are cut at this distance, so that no good pair is given up to
            save a hopeless one, and pairs farther apart are dropped. ``None`` is the paper's
            assignment of every point.

    Shapes:
        xyz_a (B, M, 3), xyz_b (B, N, 3) in one frame -> ``Matches``.

    Examples:
        >>> import torch
        >>> from simipu.models.matchers import HungarianMatcher
        >>> cloud = torch.tensor([[[0., 0, 0], [5, 0, 0], [9, 0, 0]]])
        >>> HungarianMatcher(max_distance=1.0)(cloud, cloud[:, [2, 0]]).index_b.tolist()
        [1, 0]
    """

    def __init__(self, max_distance: float | None = None) -> None:
        self.max_distance = max_distance

    @torch.no_grad()
    def __call__(self, xyz_a: Tensor, xyz_b: Tensor) -> Matches:
        cost = _distances(xyz_a, xyz_b)
        if self.max_distance is not None:
            cost.clamp_(max=self.max_distance)
        assignments = [linear_sum_assignment(frame) for frame in cost.cpu().numpy()]
        batch = np.repeat(np.arange(len(assignments)), [len(rows) for rows, _ in assignments])
        rows, columns = (np.concatenate(part) for part in zip(*assignments))
        matches = Matches(*(torch.from_numpy(index).long().to(xyz_a.device)
                            for index in (batch, rows, columns)))
        return _within(matches, xyz_a, xyz_b, self.max_distance)


@MODELS.register_module()
class MutualNearestMatcher:
    """Pairs of points that are each the nearest of the other view to the other.

    Args:
        max_distance: Metres; pairs farther apart are dropped. ``None`` keeps all.

    Shapes:
        xyz_a (B, M, 3), xyz_b (B, N, 3) in one frame -> ``Matches``.

    Examples:
        >>> import torch
        >>> from simipu.models.matchers import MutualNearestMatcher
        >>> cloud = torch.tensor([[[0., 0, 0], [5, 0, 0], [9, 0, 0]]])
        >>> matches = MutualNearestMatcher()(cloud, cloud[:, [2, 0]] + 0.1)
        >>> matches.index_a.tolist(), matches.index_b.tolist()
        ([0, 2], [1, 0])
    """

    def __init__(self, max_distance: float | None = None) -> None:
        self.max_distance = max_distance

    @torch.no_grad()
    def __call__(self, xyz_a: Tensor, xyz_b: Tensor) -> Matches:
        distance = _distances(xyz_a, xyz_b)
        nearest_b, nearest_a = distance.argmin(2), distance.argmin(1)
        index_a = torch.arange(xyz_a.shape[1], device=xyz_a.device).expand_as(nearest_b)
        mutual = nearest_a.gather(1, nearest_b) == index_a
        batch = mutual.nonzero()[:, 0]
        return _within(Matches(batch, index_a[mutual], nearest_b[mutual]), xyz_a, xyz_b,
                       self.max_distance)


@MODELS.register_module()
class IndexMatcher:
    """Point i of one view is point i of the other: exact, for views that share their sampling.

    With this matcher ``SimIPU`` lets the point encoder sample the first view and take the same
    points of the second, which must keep the order of points (``shuffle=False``, the default of
    ``PointCloudSecondView``).

    Args:
        tolerance: Metres by which the points of a pair may differ after the transform is undone.

    Shapes:
        xyz_a (B, M, 3), xyz_b (B, M, 3) in one frame -> ``Matches`` of all B * M points.

    Raises:
        ConfigError: The views do not hold the same points.

    Examples:
        >>> import torch
        >>> from simipu.models.matchers import IndexMatcher
        >>> cloud = torch.rand(2, 10, 3)
        >>> len(IndexMatcher()(cloud, cloud).batch)
        20
    """

    def __init__(self, tolerance: float = 0.01) -> None:
        self.tolerance = tolerance

    @torch.no_grad()
    def __call__(self, xyz_a: Tensor, xyz_b: Tensor) -> Matches:
        if xyz_a.shape != xyz_b.shape:
            raise ConfigError(f'IndexMatcher expects views of the same points, got {tuple(xyz_a.shape)} '
                              f'and {tuple(xyz_b.shape)}')
        apart = (xyz_a - xyz_b).norm(dim=-1)
        if (apart > self.tolerance).any():
            raise ConfigError(
                f'IndexMatcher: point i of both views should be the same, but they lie up to '
                f'{apart.max():.2f} m apart; set shuffle=False in the second view\'s transform, or '
                'use HungarianMatcher')
        batch, index = (torch.arange(size, device=apart.device) for size in apart.shape)
        batch, index = batch.repeat_interleave(len(index)), index.repeat(len(batch))
        return Matches(batch, index, index)
