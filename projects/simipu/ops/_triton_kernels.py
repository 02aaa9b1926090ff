"""Sampling and grouping of points on CUDA by Triton, which every CUDA build of torch brings along.

Sums are not fused with products (``enable_fp_fusion``), so that the same points are chosen as by the other
implementations. With TRITON_INTERPRET=1 the kernels run on CPU tensors, slowly; so they are tested without a GPU.
"""
from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

# Points in a thread's registers while a cloud is sampled. On an H100 half or twice as many take 15% longer.
POINTS_PER_THREAD = 32
MAX_WARPS = 32
# Points that a ball query compares with a centre at a time, in one warp. Most blocks have no hit at all, and those
# are cheap: the smaller they are, the more of them.
BLOCK_POINTS = 128
# Hits of a block are counted for three shells at once, each in so many bits of one number.
SHELLS_PER_PASS = 3
BITS = tl.constexpr(10)
MASK = tl.constexpr((1 << 10) - 1)
# Groups and channels that one program of the grouping maximum holds.
BLOCK_GROUPS, MAX_BLOCK_CHANNELS = 16, 128


def furthest_point_sample_triton(points: Tensor, num_points: int) -> Tensor:
    """``simipu.ops.furthest_point_sample``, one program for each cloud."""
    columns = points.transpose(1, 2).contiguous()
    return _sample(_sample_points_kernel, columns, points.shape[1], num_points)


def furthest_point_sample_with_dist_triton(distances: Tensor, num_points: int) -> Tensor:
    """``simipu.ops.furthest_point_sample_with_dist``, one program for each cloud."""
    return _sample(_sample_by_distances_kernel, distances.contiguous(), distances.shape[2], num_points)


def _sample(kernel, values: Tensor, num_rows: int, num_points: int) -> Tensor:
    taken = torch.empty(len(values), num_points, dtype=torch.long, device=values.device)
    block = triton.next_power_of_2(num_rows)
    warps = min(MAX_WARPS, max(1, block // (32 * POINTS_PER_THREAD)))
    with torch.cuda.device_of(values):  # kernels are launched on the current GPU
        kernel[(len(values), )](values, taken, num_rows, num_points, BLOCK=block, num_warps=warps,
                                enable_fp_fusion=False)
    return taken


@triton.jit
def _sample_points_kernel(points, taken, num_rows, num_taken, BLOCK: tl.constexpr):
    """Greedy sample of one cloud of ``points`` (B, 3, N); distances to the sample stay in registers."""
    cloud = points + tl.program_id(0).to(tl.int64) * 3 * num_rows
    taken += tl.program_id(0).to(tl.int64) * num_taken
    rows = tl.arange(0, BLOCK)
    nearest = tl.where(rows < num_rows, float('inf'), -1.0).to(points.dtype.element_ty)
    last = 0
    tl.store(taken, last)
    for step in range(1, num_taken):
        squared = _squared_difference(cloud, rows, last, num_rows)
        squared += _squared_difference(cloud + num_rows, rows, last, num_rows)
        squared += _squared_difference(cloud + 2 * num_rows, rows, last, num_rows)
        nearest = tl.where(squared < nearest, squared, nearest)
        _, last = tl.max(nearest, 0, return_indices=True)  # the lowest row of equals
        tl.store(taken + step, last)


@triton.jit
def _squared_difference(column, rows, row, num_rows):
    """Of one coordinate of all points and of the point ``row``."""
    difference = tl.load(column + rows, mask=rows < num_rows, other=0) - tl.load(column + row)
    return difference * difference


@triton.jit
def _sample_by_distances_kernel(distances, taken, num_rows, num_taken, BLOCK: tl.constexpr):
    """Greedy sample of one cloud by its ``distances`` (B, N, N)."""
    cloud = distances + tl.program_id(0).to(tl.int64) * num_rows * num_rows
    taken += tl.program_id(0).to(tl.int64) * num_taken
    rows = tl.arange(0, BLOCK)
    nearest = tl.where(rows < num_rows, float('inf'), -1.0).to(distances.dtype.element_ty)
    last = 0
    tl.store(taken, last)
    for step in range(1, num_taken):
        distance = tl.load(cloud + tl.cast(last, tl.int64) * num_rows + rows, mask=rows < num_rows, other=0)
        nearest = tl.where(distance < nearest, distance, nearest)
        _, last = tl.max(nearest, 0, return_indices=True)
        tl.store(taken + step, last)


def multi_ball_query_triton(squared_limits: Sequence[tuple[float, float]], num_samples: Sequence[int],
                            points: Tensor, centers: Tensor) -> list[Tensor]:
    """``simipu.ops.multi_ball_query`` by squared radii (S, 2), some shells in one pass over all pairs."""
    results = []
    for first in range(0, len(num_samples), SHELLS_PER_PASS):
        part = slice(first, first + SHELLS_PER_PASS)
        results += _query_some_shells(squared_limits[part], num_samples[part], points, centers)
    return results


def _query_some_shells(squared_limits: Sequence[tuple[float, float]], num_samples: Sequence[int], points: Tensor,
                       centers: Tensor) -> list[Tensor]:
    (batch, num_centers), num_columns = centers.shape[:2], sum(num_samples)
    rows = torch.full((batch, num_centers, num_columns), -1, dtype=torch.long, device=points.device)
    # Shells that are not there have no room for a row.
    shells = [(float(low), float(high), k) for (low, high), k in zip(squared_limits, num_samples)]
    shells += [(0.0, 0.0, 0)] * (SHELLS_PER_PASS - len(shells))
    with torch.cuda.device_of(points):
        _ball_query_kernel[(num_centers, batch)](
            points.transpose(1, 2).contiguous(), centers.contiguous(), rows, points.shape[1], num_centers, num_columns,
            *(value for shell in shells for value in shell), max(high for _, high, _ in shells),
            BLOCK=BLOCK_POINTS, num_warps=1, enable_fp_fusion=False)
    # Short groups are filled up with their first row, empty ones with row 0.
    return [torch.where(part < 0, part[..., :1].clamp(min=0), part) for part in rows.split(list(num_samples), dim=2)]


@triton.jit
def _ball_query_kernel(points, centers, rows, num_points, num_centers, num_columns, low_0, high_0, k_0, low_1, high_1,
                       k_1, low_2, high_2, k_2, highest, BLOCK: tl.constexpr):
    """The first rows within three shells around one centre: points (B, 3, N), centers (B, M, 3), rows (B, M, K)."""
    cloud = points + tl.program_id(1).to(tl.int64) * 3 * num_points
    own = tl.program_id(1).to(tl.int64) * num_centers + tl.program_id(0)
    x, y, z = tl.load(centers + own * 3), tl.load(centers + own * 3 + 1), tl.load(centers + own * 3 + 2)
    rows_0 = rows + own * num_columns
    rows_1 = rows_0 + k_0
    rows_2 = rows_1 + k_1
    count_0, count_1, count_2 = 0, 0, 0
    for start in range(0, num_points, BLOCK):
        row = start + tl.arange(0, BLOCK)
        inside = row < num_points
        dx = x - tl.load(cloud + row, mask=inside, other=float('inf'))
        dy = y - tl.load(cloud + num_points + row, mask=inside, other=float('inf'))
        dz = z - tl.load(cloud + 2 * num_points + row, mask=inside, other=float('inf'))
        squared = dx * dx + dy * dy + dz * dz
        near = (squared < highest) | (squared == 0)
        if tl.max(near.to(tl.int32), 0) > 0:
            hits = _hits(squared, low_0, high_0)
            hits += _hits(squared, low_1, high_1) << BITS
            hits += _hits(squared, low_2, high_2) << (2 * BITS)
            before, total = tl.cumsum(hits, 0) - hits, tl.sum(hits, 0)
            _store_hits(rows_0 + count_0, row, hits, before, k_0 - count_0)
            _store_hits(rows_1 + count_1, row, hits >> BITS, before >> BITS, k_1 - count_1)
            _store_hits(rows_2 + count_2, row, hits >> (2 * BITS), before >> (2 * BITS), k_2 - count_2)
            count_0 += total & MASK
            count_1 += (total >> BITS) & MASK
            count_2 += total >> (2 * BITS)


@triton.jit
def _hits(squared, low, high):
    return ((squared == 0) | ((squared >= low) & (squared < high))).to(tl.int32)


@triton.jit
def _store_hits(places, row, hits, before, room):
    """Write the rows of hits, each as far behind ``places`` as there are hits ``before`` it in the block."""
    before = before & MASK
    tl.store(places + before, row.to(tl.int64), mask=((hits & 1) == 1) & (before < room))


def gather_max_triton(features: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """(M, C) maxima and the rows that attain them, int32, the first of equals."""
    num_groups, num_samples = rows.shape
    num_channels = features.shape[1]
    pooled = features.new_empty(num_groups, num_channels)
    winners = torch.empty(pooled.shape, dtype=torch.int32, device=features.device)
    channels = min(MAX_BLOCK_CHANNELS, triton.next_power_of_2(num_channels))
    precision = tl.float64 if features.dtype == torch.float64 else tl.float32
    with torch.cuda.device_of(features):
        _gather_max_kernel[(triton.cdiv(num_groups, BLOCK_GROUPS), triton.cdiv(num_channels, channels))](
            features.contiguous(), rows.contiguous(), pooled, winners, num_groups, num_samples, num_channels,
            GROUPS=BLOCK_GROUPS, CHANNELS=channels, PRECISION=precision)
    return pooled, winners


@triton.jit
def _gather_max_kernel(features, rows, pooled, winners, num_groups, num_samples, num_channels, GROUPS: tl.constexpr,
                       CHANNELS: tl.constexpr, PRECISION: tl.constexpr):
    """Some channels of some groups, compared in ``PRECISION``: features (R, C), rows (M, K), results (M, C)."""
    group = tl.program_id(0) * GROUPS + tl.arange(0, GROUPS)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    own_rows = rows + group.to(tl.int64) * num_samples
    inside = (group < num_groups)[:, None] & (channel < num_channels)[None]
    first = tl.load(own_rows, mask=group < num_groups, other=0)
    best = tl.load(features + first[:, None] * num_channels + channel[None], mask=inside, other=0).to(PRECISION)
    winner = first[:, None].to(tl.int32) + tl.zeros_like(best).to(tl.int32)
    for k in range(1, num_samples):
        row = tl.load(own_rows + k, mask=group < num_groups, other=0)
        # The first member again is how ball query fills up short groups.
        wanted = inside & (row != first)[:, None]
        value = tl.load(features + row[:, None] * num_channels + channel[None], mask=wanted, other=0).to(PRECISION)
        better = wanted & (value > best)
        best = tl.where(better, value, best)
        winner = tl.where(better, row[:, None].to(tl.int32), winner)
    place = group.to(tl.int64)[:, None] * num_channels + channel[None]
    tl.store(pooled + place, best, mask=inside)
    tl.store(winners + place, winner, mask=inside)
