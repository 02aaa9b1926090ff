"""First hits of rays with a scene's solids and its ground, for any sensor with one centre.

Rays come as a grid (H, W): image pixels, or LiDAR beams by azimuths. The grid is cut into tiles; a tile
tests only the solids whose range of azimuth and elevation, as seen from the sensor, meets the tile's, from
near to far. That works for every viewing direction, and for cameras and LiDARs alike.
"""
from typing import NamedTuple, Tuple

import numpy as np

from .noise import jit, value_noise
from .primitives import BOX, ELLIPSOID, Primitives

SKY, GROUND = -1, -2  # in place of a solid's number
_TILE = 8
_EPSILON = 1e-6
_LEAF_FREQUENCY = 4.0  # holes in foliage per metre


class View(NamedTuple):
    """A scene's solids as one sensor sees them, sorted from near to far; made by ``prepare_view``."""
    index: np.ndarray  # (N,) int64: number in Primitives
    kind: np.ndarray  # (N,) int64
    unit_origin: np.ndarray  # (N, 3) the sensor in the frame of the unit solid
    world_to_unit: np.ndarray  # (N, 3, 3) takes directions into that frame
    half_size: np.ndarray  # (N, 3)
    cutout: np.ndarray  # (N,)
    azimuth: np.ndarray  # (N, 2) middle and half width, radians
    elevation: np.ndarray  # (N, 2) lowest and highest, radians
    near: np.ndarray  # (N,) distance to the bounding box


def _wrap(angle: np.ndarray) -> np.ndarray:
    return (angle + np.pi) % (2 * np.pi) - np.pi


def _azimuth_range(offset: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Middle and half width (N, 2) of the azimuths of corners ``offset`` (N, 8, 3) around ``centre``."""
    middle = np.arctan2(centre[:, 1], centre[:, 0])
    relative = _wrap(np.arctan2(offset[..., 1], offset[..., 0]) - middle[:, None])
    low, high = relative.min(1), relative.max(1)
    # A footprint that spans half a turn or more has the sensor inside it or above it.
    half = np.where(high - low >= np.pi - 1e-3, np.pi, (high - low) / 2)
    return np.stack([middle + (low + high) / 2, half + 1e-6], axis=1)


def _elevation_range(offset: np.ndarray, least_radius: np.ndarray) -> np.ndarray:
    """Bounds (N, 2) of the elevation of anything between the lowest and the highest corner."""
    largest_radius = np.hypot(offset[..., 0], offset[..., 1]).max(1)
    bottom, top = offset[..., 2].min(1), offset[..., 2].max(1)
    low = np.arctan2(bottom, np.where(bottom < 0, least_radius, largest_radius))
    high = np.arctan2(top, np.where(top > 0, least_radius, largest_radius))
    return np.stack([low - 1e-6, high + 1e-6], axis=1)


def prepare_view(primitives: Primitives, origin: np.ndarray) -> View:
    """Bounds and transforms of all solids for rays that start at ``origin`` (3,), world frame."""
    offset = primitives.corners() - origin
    centre = primitives.centre - origin
    local_origin = -np.einsum('nji,nj->ni', primitives.rotation, centre)
    excess = np.maximum(np.abs(local_origin) - primitives.half_size, 0)
    near = np.linalg.norm(excess, axis=1)
    circle = np.hypot(centre[:, 0], centre[:, 1]) - np.linalg.norm(primitives.half_size, axis=1)
    upright = primitives.rotation[:, 2, 2] > 1 - 1e-9
    least_radius = np.where(upright, np.hypot(excess[:, 0], excess[:, 1]), np.maximum(circle, 0))
    order = np.argsort(near, kind='stable')
    scale = 1 / primitives.half_size
    arrays = (primitives.kind, local_origin * scale,
              primitives.rotation.transpose(0, 2, 1) * scale[:, :, None], primitives.half_size,
              primitives.cutout, _azimuth_range(offset, centre), _elevation_range(offset, least_radius),
              near)
    return View(order, *(np.ascontiguousarray(array[order]) for array in arrays))


@jit
def _slab(o: float, d: float) -> Tuple[float, float]:
    """Where o + t d enters and leaves [-1, 1]."""
    if d == 0.0:
        if abs(o) <= 1.0:
            return -np.inf, np.inf
        return np.inf, -np.inf
    t0, t1 = (-1.0 - o) / d, (1.0 - o) / d
    return min(t0, t1), max(t0, t1)


@jit
def _round(a: float, b: float, c: float) -> Tuple[float, float]:
    """Roots of a t^2 + 2 b t + c: where a ray enters and leaves a sphere or a round tube."""
    if a == 0.0:
        if c <= 0.0:
            return -np.inf, np.inf
        return np.inf, -np.inf
    square = b * b - a * c
    if square < 0.0:
        return np.inf, -np.inf
    root = np.sqrt(square)
    return (-b - root) / a, (-b + root) / a


@jit
def intersect(kind: int, ox: float, oy: float, oz: float, dx: float, dy: float,
              dz: float) -> Tuple[float, float]:
    """Where the line o + t d enters and leaves the unit solid; enter > leave where it misses."""
    if kind == ELLIPSOID:
        return _round(dx * dx + dy * dy + dz * dz, ox * dx + oy * dy + oz * dz,
                      ox * ox + oy * oy + oz * oz - 1.0)
    enter, leave = _slab(oz, dz)
    if kind == BOX:
        ex, lx = _slab(ox, dx)
        ey, ly = _slab(oy, dy)
        return max(enter, ex, ey), min(leave, lx, ly)
    side_in, side_out = _round(dx * dx + dy * dy, ox * dx + oy * dy, ox * ox + oy * oy - 1.0)
    return max(enter, side_in), min(leave, side_out)


@jit
def is_hole(x: float, y: float, z: float, cutout: float) -> bool:
    """Whether a foliage surface has a hole at (x, y, z), metres in the solid's own frame."""
    frequency = _LEAF_FREQUENCY
    noise = value_noise(x * frequency, y * frequency, z * frequency, 7)
    noise = 0.6 * noise + 0.4 * value_noise(3 * frequency * x, 3 * frequency * y, 3 * frequency * z, 11)
    return noise < cutout


@jit
def _hit(view: View, i: int, dx: float, dy: float, dz: float) -> float:
    """Distance to the first solid point of item ``i`` along a direction; inf where it is missed."""
    m = view.world_to_unit[i]
    ux = m[0, 0] * dx + m[0, 1] * dy + m[0, 2] * dz
    uy = m[1, 0] * dx + m[1, 1] * dy + m[1, 2] * dz
    uz = m[2, 0] * dx + m[2, 1] * dy + m[2, 2] * dz
    ox, oy, oz = view.unit_origin[i, 0], view.unit_origin[i, 1], view.unit_origin[i, 2]
    enter, leave = intersect(view.kind[i], ox, oy, oz, ux, uy, uz)
    if not enter <= leave:
        return np.inf
    if view.cutout[i] <= 0.0:
        return enter if enter > _EPSILON else np.inf
    hx, hy, hz = view.half_size[i, 0], view.half_size[i, 1], view.half_size[i, 2]
    for t in (enter, leave):
        if t > _EPSILON and not is_hole((ox + t * ux) * hx, (oy + t * uy) * hy, (oz + t * uz) * hz,
                                        view.cutout[i]):
            return t
    return np.inf


@jit
def _tile_bounds(directions, row0, row1, col0, col1):
    """First azimuth, range of the azimuths relative to it, and range of elevation of a tile's rays."""
    first = np.arctan2(directions[row0, col0, 1], directions[row0, col0, 0])
    azimuth_low, azimuth_high, low, high = 0.0, 0.0, np.inf, -np.inf
    for r in range(row0, row1):
        # Both angles have their extremes on the border of the tile.
        step = 1 if r == row0 or r == row1 - 1 else max(col1 - 1 - col0, 1)
        for c in range(col0, col1, step):
            x, y, z = directions[r, c, 0], directions[r, c, 1], directions[r, c, 2]
            relative = np.arctan2(y, x) - first
            relative -= 2 * np.pi * np.round(relative / (2 * np.pi))
            elevation = np.arctan2(z, np.sqrt(x * x + y * y))
            azimuth_low, azimuth_high = min(azimuth_low, relative), max(azimuth_high, relative)
            low, high = min(low, elevation), max(high, elevation)
    return first, azimuth_low, azimuth_high, low, high


@jit
def _candidates(view, bounds, found):
    """Write the items of ``view`` that may be seen in a tile to ``found``; returns how many."""
    first, azimuth_low, azimuth_high, low, high = bounds
    middle, half = first + (azimuth_low + azimuth_high) / 2, (azimuth_high - azimuth_low) / 2
    count = 0
    for i in range(len(view.kind)):
        if view.elevation[i, 0] > high or view.elevation[i, 1] < low:
            continue
        gap = view.azimuth[i, 0] - middle
        gap -= 2 * np.pi * np.round(gap / (2 * np.pi))
        if abs(gap) <= view.azimuth[i, 1] + half:
            found[count] = i
            count += 1
    return count


@jit
def _any_active(active, row0, row1, col0, col1):
    for r in range(row0, row1):
        for c in range(col0, col1):
            if active[r, c]:
                return True
    return False


@jit
def cast_rays(view: View, height: float, directions: np.ndarray,
              active: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """First hits of the rays ``directions`` (H, W, 3), unit vectors in world frame.

    Args:
        view: The scene from ``prepare_view``.
        height: The sensor's height over the ground (m); the ground is the plane z = 0.
        directions: (H, W, 3) float64. Neighbours in the grid should be neighbours in angle.
        active: (H, W) bool; other rays are left out.

    Returns:
        Distance (H, W) float64 in metres (inf: sky), and the solid hit (H, W) int64, or ``GROUND``/``SKY``.
    """
    rows, cols = directions.shape[:2]
    distance = np.full((rows, cols), np.inf)
    hit = np.full((rows, cols), SKY, dtype=np.int64)
    found = np.empty(len(view.kind), dtype=np.int64)
    for row0 in range(0, rows, _TILE):
        row1 = min(row0 + _TILE, rows)
        for col0 in range(0, cols, _TILE):
            col1 = min(col0 + _TILE, cols)
            if not _any_active(active, row0, row1, col0, col1):
                continue
            count = _candidates(view, _tile_bounds(directions, row0, row1, col0, col1), found)
            for r in range(row0, row1):
                for c in range(col0, col1):
                    if not active[r, c]:
                        continue
                    dx, dy, dz = directions[r, c, 0], directions[r, c, 1], directions[r, c, 2]
                    best, what = np.inf, SKY
                    if dz < -1e-6:
                        best, what = -height / dz, GROUND
                    for k in range(count):
                        i = found[k]
                        if view.near[i] > best:
                            break
                        t = _hit(view, i, dx, dy, dz)
                        if t < best:
                            best, what = t, view.index[i]
                    distance[r, c], hit[r, c] = best, what
    return distance, hit
