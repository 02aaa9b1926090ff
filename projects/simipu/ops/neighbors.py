"""Ball query: the first points of a cloud, in row order, within a distance of each centre."""
from collections.abc import Sequence

import numpy as np
import torch
from numba import prange
from torch import Tensor

from ..errors import DataError
from ..jit import njit
from .backend import MAX_BLOCK_ELEMENTS, at_least_float32, choose, to_numpy, use_torch_threads

# Centres that one numba task works through with the same scratch memory.
CENTERS_PER_TASK = 128
# The grid has at most this many cells per point; a sparse, wide cloud gets larger cells.
MAX_CELLS_PER_POINT = 8


@torch.no_grad()
def ball_query(min_radius: float, max_radius: float, num_samples: int, points: Tensor,
               centers: Tensor) -> Tensor:
    """Rows of the points within a shell around each centre (``mmcv.ops.ball_query``'s semantics).

    A point belongs to a centre if ``min_radius <= distance < max_radius`` or if the distance is
    exactly zero. The first ``num_samples`` of them in row order are returned; a shorter list is
    filled up with its first row, an empty one with row 0.

    Args:
        min_radius (float): inner radius in metres.
        max_radius (float): outer radius in metres.
        num_samples (int): K, rows per centre.
        points (Tensor): (B, N, 3) coordinates.
        centers (Tensor): (B, M, 3) coordinates.

    Returns:
        Tensor: (B, M, K) long, rows of ``points``.

    Raises:
        DataError: on CPU, if a coordinate of ``points`` is NaN or infinite.

    Examples:
        >>> import torch
        >>> from simipu.ops import ball_query
        >>> cloud = torch.tensor([[[0., 0, 0], [1, 0, 0], [9, 0, 0]]])
        >>> ball_query(0.0, 2.0, 2, cloud, cloud).tolist()
        [[[0, 1], [0, 1], [2, 2]]]
    """
    return multi_ball_query([(min_radius, max_radius)], [num_samples], points, centers)[0]


@torch.no_grad()
def multi_ball_query(shells: Sequence[tuple[float, float]], num_samples: Sequence[int],
                     points: Tensor, centers: Tensor) -> list[Tensor]:
    """``ball_query`` for several shells around the same centres in one pass.

    Args:
        shells (Sequence[tuple]): (min_radius, max_radius) of each shell, in metres.
        num_samples (Sequence[int]): rows per centre for each shell.
        points (Tensor): (B, N, 3) coordinates.
        centers (Tensor): (B, M, 3) coordinates.

    Returns:
        list[Tensor]: one (B, M, K) long tensor of rows of ``points`` per shell.
    """
    points = at_least_float32(points).contiguous()
    centers = centers.to(points.dtype).contiguous()
    query = choose(points, cpu=_multi_ball_query_numba, mmcv=_multi_ball_query_mmcv,
                   triton=_multi_ball_query_triton, plain=multi_ball_query_torch)
    return query(shells, num_samples, points, centers)


def _multi_ball_query_mmcv(shells: Sequence[tuple[float, float]], num_samples: Sequence[int],
                           points: Tensor, centers: Tensor) -> list[Tensor]:
    from mmcv.ops import ball_query as mmcv_ball_query
    return [mmcv_ball_query(low, high, k, points, centers).long()
            for (low, high), k in zip(shells, num_samples)]


def _multi_ball_query_triton(shells: Sequence[tuple[float, float]], num_samples: Sequence[int],
                             points: Tensor, centers: Tensor) -> list[Tensor]:
    from ._triton_kernels import multi_ball_query_triton
    return multi_ball_query_triton(_squared_limits(shells), num_samples, points, centers)


def multi_ball_query_torch(shells: Sequence[tuple[float, float]], num_samples: Sequence[int],
                           points: Tensor, centers: Tensor) -> list[Tensor]:
    """``multi_ball_query`` in plain torch: all pairs, in chunks of centres."""
    batch, num_points = points.shape[:2]
    chunk = max(1, MAX_BLOCK_ELEMENTS // max(1, batch * num_points))
    parts = [[] for _ in shells]
    for block in centers.split(chunk, dim=1):
        squared = squared_distances(block, points)
        for part, limits, k in zip(parts, _squared_limits(shells), num_samples):
            inside = (squared == 0) | ((squared >= limits[0]) & (squared < limits[1]))
            part.append(_first_true_columns(inside, k))
    return [torch.cat(part, dim=1) for part in parts]


def squared_distances(centers: Tensor, points: Tensor) -> Tensor:
    """(B, M, N) of (B, M, 3) and (B, N, 3), summed in the order x, y, z.

    ``torch.cdist`` loses digits far from the origin where it takes a matrix product, and where it does not, a GPU works
    on each pair with 256 threads.
    """
    squared = (centers[:, :, None, 0] - points[:, None, :, 0]).square_()
    for axis in (1, 2):
        squared += (centers[:, :, None, axis] - points[:, None, :, axis]).square_()
    return squared


def _first_true_columns(mask: Tensor, count: int) -> Tensor:
    """(B, M, count) first true columns of a (B, M, N) mask, filled up with the first, else 0."""
    rank = mask.cumsum(-1, dtype=torch.int32)
    b, m, column = (mask & (rank <= count)).nonzero(as_tuple=True)
    first = torch.where(mask.any(-1), mask.int().argmax(-1), 0)
    columns = first[..., None].repeat(1, 1, count)
    columns[b, m, rank[b, m, column].long() - 1] = column
    return columns


def _squared_limits(shells: Sequence[tuple[float, float]]) -> np.ndarray:
    """(S, 2) squared radii, rounded to float32 before and after squaring as mmcv's kernel does."""
    return np.square(np.array(shells, np.float32).reshape(-1, 2))


def _multi_ball_query_numba(shells: Sequence[tuple[float, float]], num_samples: Sequence[int],
                            points: Tensor, centers: Tensor) -> list[Tensor]:
    use_torch_threads()
    offsets = np.concatenate([[0], np.cumsum(num_samples)])
    rows = np.zeros((*centers.shape[:2], offsets[-1]), np.int64)
    limits = _squared_limits(shells)
    # A cell is slightly wider than the largest radius, so that rounding never hides a point that
    # lies on the far side of a neighbouring cell.
    width = 1.0001 * max(high for _, high in shells)
    for cloud, cloud_centers, cloud_rows in zip(to_numpy(points), to_numpy(centers), rows):
        low, shape, cell = _grid_of(cloud, width)
        order, starts = _bin_points(cloud, low, shape, cell)
        _query_grid(cloud, cloud_centers, low, shape, cell, order, starts, limits, offsets,
                    cloud_rows)
    return [torch.from_numpy(np.ascontiguousarray(rows[..., first:last]))
            for first, last in zip(offsets[:-1], offsets[1:])]


def _grid_of(points: np.ndarray, width: float) -> tuple[np.ndarray, np.ndarray, float]:
    """Origin, number of cells per axis and edge length of a grid over (N, 3) points."""
    low = points.min(0).astype(np.float64)
    extent = points.max(0) - low
    if not np.isfinite(extent).all():
        raise DataError('points must be finite to be grouped, but some coordinates are NaN or '
                        'infinite: filter the cloud before the model')
    while True:
        shape = np.floor(extent / width) + 1
        if shape.prod() <= MAX_CELLS_PER_POINT * len(points) + 8:
            return low, shape.astype(np.int64), width
        width *= 2


@njit
def _cell(value, low, width, count):
    return min(max(int(np.floor((value - low) / width)), 0), count - 1)


@njit
def _bin_points(points, low, shape, width):
    """Rows sorted by cell (stable: ascending within a cell) and the start of each cell."""
    num_points = points.shape[0]
    cells = np.empty(num_points, np.int64)
    starts = np.zeros(shape[0] * shape[1] * shape[2] + 1, np.int64)
    for i in range(num_points):
        x = _cell(points[i, 0], low[0], width, shape[0])
        y = _cell(points[i, 1], low[1], width, shape[1])
        z = _cell(points[i, 2], low[2], width, shape[2])
        cells[i] = (x * shape[1] + y) * shape[2] + z
        starts[cells[i] + 1] += 1
    starts = np.cumsum(starts)
    order = np.empty(num_points, np.int64)
    filled = starts.copy()
    for i in range(num_points):
        order[filled[cells[i]]] = i
        filled[cells[i]] += 1
    return order, starts


@njit(parallel=True)
def _query_grid(points, centers, low, shape, width, order, starts, limits, offsets, rows):
    num_centers = centers.shape[0]
    for task in prange((num_centers + CENTERS_PER_TASK - 1) // CENTERS_PER_TASK):
        found = np.empty((limits.shape[0], points.shape[0]), np.int64)
        counts = np.empty(limits.shape[0], np.int64)
        for m in range(task * CENTERS_PER_TASK, min((task + 1) * CENTERS_PER_TASK, num_centers)):
            counts[:] = 0
            _collect(points, centers[m], low, shape, width, order, starts, limits, found, counts)
            for s in range(limits.shape[0]):
                _fill(found[s, :counts[s]], rows[m, offsets[s]:offsets[s + 1]])


@njit
def _collect(points, center, low, shape, width, order, starts, limits, found, counts):
    """Rows within each shell among the 27 cells around the centre, in no particular order."""
    cx = int(np.floor((center[0] - low[0]) / width))
    cy = int(np.floor((center[1] - low[1]) / width))
    cz = int(np.floor((center[2] - low[2]) / width))
    z_first, z_last = max(cz - 1, 0), min(cz + 1, shape[2] - 1)
    if z_first > z_last:
        return
    for x in range(max(cx - 1, 0), min(cx + 2, shape[0])):
        for y in range(max(cy - 1, 0), min(cy + 2, shape[1])):
            column = (x * shape[1] + y) * shape[2]
            for position in range(starts[column + z_first], starts[column + z_last + 1]):
                i = order[position]
                dx = center[0] - points[i, 0]
                dy = center[1] - points[i, 1]
                dz = center[2] - points[i, 2]
                squared = dx * dx + dy * dy + dz * dz
                for s in range(limits.shape[0]):
                    if squared == 0 or (limits[s, 0] <= squared < limits[s, 1]):
                        found[s, counts[s]] = i
                        counts[s] += 1


@njit
def _fill(found, rows):
    if found.size == 0:
        return
    found.sort()
    count = min(found.size, rows.size)
    rows[:count] = found[:count]
    rows[count:] = found[0]
