"""Furthest point sampling, by coordinates (D-FPS), by features (F-FPS) or by both (FS)."""
from collections.abc import Sequence

import numpy as np
import torch
from numba import prange
from torch import Tensor

from ..errors import ConfigError
from ..jit import njit
from .backend import at_least_float32, choose, to_numpy, use_torch_threads

# Points in a bucket of the CPU implementation.
BUCKET_SIZE = 64
# Channels of which the CPU implementation of F-FPS sums the squares before it looks whether the rest matters.
CHANNELS_AT_A_TIME = 32
# Rounding never makes a point's distance smaller than this share of its box's distance.
BOX_DISTANCE_MARGIN = 1 - 1e-5


@torch.no_grad()
def furthest_point_sample(points: Tensor, num_points: int) -> Tensor:
    """Greedy sample: each point taken is the one furthest from all points taken so far.

    The semantics are those of ``mmcv.ops.furthest_point_sample``: the first point taken is row 0,
    and once every distance is zero row 0 is repeated. Of equally far points the lowest row is
    taken (mmcv's kernel takes one that depends on its number of threads).

    Args:
        points (Tensor): (B, N, 3) coordinates.
        num_points (int): M, how many rows to take of each cloud.

    Returns:
        Tensor: (B, M) long, rows of ``points``.

    Examples:
        >>> import torch
        >>> from simipu.ops import furthest_point_sample
        >>> cloud = torch.tensor([[[0., 0, 0], [1, 0, 0], [9, 0, 0], [5, 0, 0]]])
        >>> furthest_point_sample(cloud, 3).tolist()
        [[0, 2, 3]]
    """
    points = at_least_float32(points).contiguous()
    sample = choose(points, cpu=_sample_numba, mmcv=_sample_mmcv, triton=_sample_triton,
                    plain=furthest_point_sample_torch)
    return sample(points, num_points)


def _sample_numba(points: Tensor, num_points: int) -> Tensor:
    use_torch_threads()
    return torch.from_numpy(_sample_batch(to_numpy(points), num_points))


def _sample_mmcv(points: Tensor, num_points: int) -> Tensor:
    from mmcv.ops import furthest_point_sample as mmcv_furthest_point_sample
    return mmcv_furthest_point_sample(points, num_points).long()


def _sample_triton(points: Tensor, num_points: int) -> Tensor:
    from ._triton_kernels import furthest_point_sample_triton
    return furthest_point_sample_triton(points, num_points)


@torch.no_grad()
def furthest_point_sample_with_dist(distances: Tensor, num_points: int) -> Tensor:
    """``furthest_point_sample`` for given pairwise distances.

    Args:
        distances (Tensor): (B, N, N) distance of each pair.
        num_points (int): M, how many rows to take.

    Returns:
        Tensor: (B, M) long, rows of ``distances``.
    """
    distances = at_least_float32(distances).contiguous()
    sample = choose(distances, cpu=_sample_with_dist_numba, mmcv=_sample_with_dist_mmcv,
                    triton=_sample_with_dist_triton, plain=furthest_point_sample_with_dist_torch)
    return sample(distances, num_points)


def _sample_with_dist_numba(distances: Tensor, num_points: int) -> Tensor:
    use_torch_threads()
    return torch.from_numpy(_sample_batch_with_dist(to_numpy(distances), num_points))


def _sample_with_dist_mmcv(distances: Tensor, num_points: int) -> Tensor:
    from mmcv.ops import furthest_point_sample_with_dist as mmcv_sample_with_dist
    return mmcv_sample_with_dist(distances, num_points).long()


def _sample_with_dist_triton(distances: Tensor, num_points: int) -> Tensor:
    from ._triton_kernels import furthest_point_sample_with_dist_triton
    return furthest_point_sample_with_dist_triton(distances, num_points)


@torch.no_grad()
def furthest_feature_sample(points: Tensor, features: Tensor, num_points: int) -> Tensor:
    """F-FPS: furthest points by squared distance of coordinates and features together (3DSSD, 3.1).

    Args:
        points (Tensor): (B, N, 3) coordinates.
        features (Tensor): (B, C, N) features.
        num_points (int): M, how many rows to take.

    Returns:
        Tensor: (B, M) long, rows of ``points``.
    """
    points, features = at_least_float32(points), at_least_float32(features).transpose(1, 2)
    if points.device.type == 'cpu':
        use_torch_threads()
        return torch.from_numpy(_sample_batch_with_features(to_numpy(points), to_numpy(features), num_points))
    with torch.autocast(points.device.type, enabled=False):
        joined = torch.cat([points, features], dim=2)
        return furthest_point_sample_with_dist(torch.cdist(joined, joined).square_(), num_points)


@torch.no_grad()
def sample_points(points: Tensor, features: Tensor | None, num_points: Sequence[int],
                  fps_mods: Sequence[str], sample_ranges: Sequence[int]) -> Tensor:
    """Samples consecutive ranges of a cloud, each by its own method, like mmcv's ``PointsSampler``.

    Args:
        points (Tensor): (B, N, 3) coordinates.
        features (Tensor, optional): (B, C, N) features; needed by 'F-FPS' and 'FS'.
        num_points (Sequence[int]): how many rows each method takes.
        fps_mods (Sequence[str]): 'D-FPS', 'F-FPS', or 'FS', which takes its number of rows by
            F-FPS and as many again by D-FPS.
        sample_ranges (Sequence[int]): end row of each method's range, -1 for the last row; a range
            starts where the one before it ended.

    Returns:
        Tensor: (B, M) long, rows of ``points``.

    Raises:
        ConfigError: an unknown method, or a method by features without features.
    """
    parts, start = [], 0
    for count, mod, end in zip(num_points, fps_mods, sample_ranges):
        stop = points.shape[1] if end == -1 else end
        cloud = points[:, start:stop]
        cloud_features = None if features is None else features[:, :, start:stop]
        parts.append(start + _sample_by(mod, cloud, cloud_features, count))
        start = end
    return torch.cat(parts, dim=1)


def _sample_by(mod: str, points: Tensor, features: Tensor | None, count: int) -> Tensor:
    if mod == 'D-FPS':
        return furthest_point_sample(points, count)
    if mod not in ('F-FPS', 'FS'):
        raise ConfigError(f"fps_mod must be 'D-FPS', 'F-FPS' or 'FS', not {mod!r}")
    if features is None:
        raise ConfigError(f'fps_mod {mod!r} samples by features, but the points have none: '
                          "use 'D-FPS' or give the points more than 3 channels")
    by_feature = furthest_feature_sample(points, features, count)
    if mod == 'F-FPS':
        return by_feature
    return torch.cat([by_feature, furthest_point_sample(points, count)], dim=1)


def furthest_point_sample_torch(points: Tensor, num_points: int) -> Tensor:
    """``furthest_point_sample`` in plain torch, for devices on which neither mmcv nor Triton runs."""
    def distances_to(rows: Tensor) -> Tensor:
        chosen = points.gather(1, rows[:, None, None].expand(-1, 1, 3))
        return (points - chosen).square_().sum(-1)

    return _furthest_rows_torch(distances_to, points.shape[:2], points, num_points)


def furthest_point_sample_with_dist_torch(distances: Tensor, num_points: int) -> Tensor:
    """``furthest_point_sample_with_dist`` in plain torch."""
    num_rows = distances.shape[2]

    def distances_to(rows: Tensor) -> Tensor:
        return distances.gather(1, rows[:, None, None].expand(-1, 1, num_rows)).squeeze(1)

    return _furthest_rows_torch(distances_to, distances.shape[:2], distances, num_points)


def _furthest_rows_torch(distances_to, shape, like: Tensor, num_points: int) -> Tensor:
    """The greedy loop; ``distances_to`` maps (B,) rows to their (B, N) distances to every point."""
    nearest = like.new_full(shape, float('inf'))
    taken = torch.zeros(shape[0], num_points, dtype=torch.long, device=like.device)
    for step in range(1, num_points):
        torch.minimum(nearest, distances_to(taken[:, step - 1]), out=nearest)
        taken[:, step] = nearest.argmax(1)
    return taken


@njit(parallel=True)
def _sample_batch(points, num_points):
    taken = np.zeros((points.shape[0], num_points), np.int64)
    for b in prange(points.shape[0]):
        _sample_cloud(points[b], taken[b])
    return taken


@njit
def _sample_cloud(points, taken):
    """Greedy sampling that skips buckets of points which the new sample cannot be nearest to."""
    order, starts = _make_buckets(points)
    points = points[order]
    num_buckets = len(starts) - 1
    low, high = np.empty((num_buckets, 3), points.dtype), np.empty((num_buckets, 3), points.dtype)
    for bucket in range(num_buckets):
        for axis in range(3):
            values = points[starts[bucket]:starts[bucket + 1], axis]
            low[bucket, axis], high[bucket, axis] = values.min(), values.max()
    nearest = np.full(len(points), np.inf, points.dtype)
    furthest = np.full(num_buckets, np.inf, points.dtype)  # largest ``nearest`` of each bucket ...
    furthest_at = np.zeros(num_buckets, np.int64)  # ... and its place in ``order``
    place = np.argmin(order)
    for step in range(1, taken.shape[0]):
        x, y, z = points[place, 0], points[place, 1], points[place, 2]
        best = points.dtype.type(-1)
        for bucket in range(num_buckets):
            dx = max(low[bucket, 0] - x, x - high[bucket, 0], 0)
            dy = max(low[bucket, 1] - y, y - high[bucket, 1], 0)
            dz = max(low[bucket, 2] - z, z - high[bucket, 2], 0)
            if (dx * dx + dy * dy + dz * dz) * BOX_DISTANCE_MARGIN < furthest[bucket]:
                furthest[bucket], furthest_at[bucket] = _update_bucket(
                    points, nearest, order, starts[bucket], starts[bucket + 1], x, y, z)
            if furthest[bucket] > best or (furthest[bucket] == best and
                                           order[furthest_at[bucket]] < order[place]):
                best, place = furthest[bucket], furthest_at[bucket]
        taken[step] = order[place]


@njit
def _update_bucket(points, nearest, order, start, stop, x, y, z):
    """Lowers ``nearest`` by the distance to (x, y, z); its maximum and the place of that."""
    for i in range(start, stop):
        dx, dy, dz = points[i, 0] - x, points[i, 1] - y, points[i, 2] - z
        squared = dx * dx + dy * dy + dz * dz
        nearest[i] = squared if squared < nearest[i] else nearest[i]
    at = start
    for i in range(start + 1, stop):
        if nearest[i] > nearest[at] or (nearest[i] == nearest[at] and order[i] < order[at]):
            at = i
    return nearest[at], at


@njit
def _make_buckets(points):
    """Halves boxes until few points are left: rows in bucket order, start of each bucket."""
    order = np.arange(len(points))
    starts = [0]
    pending = [(0, len(points))]
    while pending:
        start, stop = pending.pop()
        middle = start if stop - start <= BUCKET_SIZE else _split(points, order, start, stop)
        if middle == start:
            starts.append(stop)
        else:
            pending.append((middle, stop))
            pending.append((start, middle))
    return order, np.array(starts)


@njit
def _split(points, order, start, stop):
    """Sorts rows by side of the middle of their longest extent; where the upper side starts."""
    axis, longest, middle = 0, -1.0, 0.0
    for candidate in range(3):
        low = high = points[order[start], candidate]
        for i in range(start + 1, stop):
            low, high = min(low, points[order[i], candidate]), max(high,
                                                                   points[order[i], candidate])
        if high - low > longest:
            axis, longest, middle = candidate, high - low, low + (high - low) / 2
    upper = start
    for i in range(start, stop):
        if points[order[i], axis] < middle:
            order[i], order[upper] = order[upper], order[i]
            upper += 1
    return upper


@njit(parallel=True)
def _sample_batch_with_dist(distances, num_points):
    taken = np.zeros((distances.shape[0], num_points), np.int64)
    for b in prange(distances.shape[0]):
        nearest = np.full(distances.shape[1], np.inf, distances.dtype)
        row = 0
        for step in range(1, num_points):
            nearest = np.minimum(nearest, distances[b, row])
            row = nearest.argmax()
            taken[b, step] = row
    return taken


@njit(parallel=True)
def _sample_batch_with_features(points, features, num_points):
    taken = np.zeros((points.shape[0], num_points), np.int64)
    for b in prange(points.shape[0]):
        _sample_cloud_with_features(points[b], features[b], taken[b])
    return taken


@njit
def _sample_cloud_with_features(points, features, taken):
    """Greedy sampling; only as many channels are read as show that a point is no nearer than before."""
    nearest = np.full(len(points), np.inf, points.dtype)
    for step in range(1, len(taken)):
        row = taken[step - 1]
        furthest = 0
        for i in range(len(points)):
            squared = _squared_distance(points[i], points[row])
            start = 0
            while squared < nearest[i] and start < features.shape[1]:
                channels = slice(start, start + CHANNELS_AT_A_TIME)
                squared += _squared_distance(features[i, channels], features[row, channels])
                start += CHANNELS_AT_A_TIME
            nearest[i] = min(nearest[i], squared)
            if nearest[i] > nearest[furthest]:
                furthest = i
        taken[step] = furthest


@njit(fastmath={'reassoc'})  # several channels at once
def _squared_distance(a, b):
    total = a.dtype.type(0)
    for c in range(len(a)):
        total += (a[c] - b[c]) * (a[c] - b[c])
    return total
