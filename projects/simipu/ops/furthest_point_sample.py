"""Furthest point sampling, by coordinates (D-FPS), by features (F-FPS) or by both (FS)."""
from typing import Optional, Sequence

import numpy as np
import torch
from numba import njit, prange
from torch import Tensor

from .backend import at_least_float32, mmcv_has_cuda_ops, to_numpy, use_torch_threads


@torch.no_grad()
def furthest_point_sample(points: Tensor, num_points: int) -> Tensor:
    """Greedy sample: each point taken is the one furthest from all points taken so far.

    The semantics are those of ``mmcv.ops.furthest_point_sample``: the first point taken is row 0,
    and once every distance is zero row 0 is repeated. Of equally far points the lowest row is taken.

    Args:
        points (Tensor): (B, N, 3) coordinates.
        num_points (int): M, how many rows to take of each cloud.

    Returns:
        Tensor: (B, M) long, rows of ``points``.
    """
    points = at_least_float32(points).contiguous()
    if points.device.type == 'cpu':
        use_torch_threads()
        return torch.from_numpy(_sample_batch(to_numpy(points), num_points))
    if points.is_cuda and points.dtype == torch.float32 and mmcv_has_cuda_ops():
        from mmcv.ops import furthest_point_sample as mmcv_furthest_point_sample
        return mmcv_furthest_point_sample(points, num_points).long()
    return furthest_point_sample_torch(points, num_points)


@torch.no_grad()
def furthest_point_sample_with_dist(distances: Tensor, num_points: int) -> Tensor:
    """:func:`furthest_point_sample` for given pairwise distances.

    Args:
        distances (Tensor): (B, N, N) distance of each pair.
        num_points (int): M, how many rows to take.

    Returns:
        Tensor: (B, M) long, rows of ``distances``.
    """
    distances = at_least_float32(distances).contiguous()
    if distances.device.type == 'cpu':
        use_torch_threads()
        return torch.from_numpy(_sample_batch_with_dist(to_numpy(distances), num_points))
    if distances.is_cuda and distances.dtype == torch.float32 and mmcv_has_cuda_ops():
        from mmcv.ops import furthest_point_sample_with_dist as mmcv_sample_with_dist
        return mmcv_sample_with_dist(distances, num_points).long()
    return furthest_point_sample_with_dist_torch(distances, num_points)


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
    with torch.autocast(points.device.type, enabled=False):
        joined = torch.cat([at_least_float32(points),
                            at_least_float32(features).transpose(1, 2)], dim=2)
        return furthest_point_sample_with_dist(torch.cdist(joined, joined).square_(), num_points)


@torch.no_grad()
def sample_points(points: Tensor, features: Optional[Tensor], num_points: Sequence[int],
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
        ValueError: an unknown method, or a method by features without features.
    """
    parts, start = [], 0
    for count, mod, end in zip(num_points, fps_mods, sample_ranges):
        stop = points.shape[1] if end == -1 else end
        cloud = points[:, start:stop]
        cloud_features = None if features is None else features[:, :, start:stop]
        parts.append(start + _sample_by(mod, cloud, cloud_features, count))
        start = end
    return torch.cat(parts, dim=1)


def _sample_by(mod: str, points: Tensor, features: Optional[Tensor], count: int) -> Tensor:
    if mod == 'D-FPS':
        return furthest_point_sample(points, count)
    if mod not in ('F-FPS', 'FS'):
        raise ValueError(f"fps_mod must be 'D-FPS', 'F-FPS' or 'FS', not {mod!r}")
    if features is None:
        raise ValueError(f'fps_mod {mod!r} samples by features, but the points have none: '
                         "use 'D-FPS' or give the points more than 3 channels")
    by_feature = furthest_feature_sample(points, features, count)
    if mod == 'F-FPS':
        return by_feature
    return torch.cat([by_feature, furthest_point_sample(points, count)], dim=1)


def furthest_point_sample_torch(points: Tensor, num_points: int) -> Tensor:
    """:func:`furthest_point_sample` in plain torch, for devices without a compiled operation."""
    def distances_to(rows: Tensor) -> Tensor:
        chosen = points.gather(1, rows[:, None, None].expand(-1, 1, 3))
        return (points - chosen).square_().sum(-1)

    return _furthest_rows_torch(distances_to, points.shape[:2], points, num_points)


def furthest_point_sample_with_dist_torch(distances: Tensor, num_points: int) -> Tensor:
    """:func:`furthest_point_sample_with_dist` in plain torch."""
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


@njit(parallel=True, cache=True)
def _sample_batch(points, num_points):
    taken = np.zeros((points.shape[0], num_points), np.int64)
    for b in prange(points.shape[0]):
        _sample_cloud(points[b], taken[b])
    return taken


@njit(cache=True)
def _sample_cloud(points, taken):
    num_rows = points.shape[0]
    nearest = np.full(num_rows, np.inf, points.dtype)
    row = 0
    for step in range(1, taken.shape[0]):
        x, y, z = points[row, 0], points[row, 1], points[row, 2]
        for i in range(num_rows):
            dx, dy, dz = points[i, 0] - x, points[i, 1] - y, points[i, 2] - z
            nearest[i] = min(nearest[i], dx * dx + dy * dy + dz * dz)
        row = nearest.argmax()
        taken[step] = row


@njit(parallel=True, cache=True)
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
