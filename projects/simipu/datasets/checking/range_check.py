"""Whether the range filter of a config suits the axes of the clouds, and which one would."""
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from .pipeline_trace import NUM_STRIPS, describe_strips

MIN_KEPT_SHARE = 0.5
MIN_LOST_STRIPS = 2
OCCUPIED_SHARE = 0.005
EMPTIED_SHARE = 0.05
Range = Sequence[float]


class SeenPoints(NamedTuple):
    """Points (N, 3) that the images of a camera show, and the strip (N,) of the image that each is in."""
    points: np.ndarray
    strips: np.ndarray


class RangeEffect(NamedTuple):
    """What a point cloud range leaves of the points that a camera sees.

    ``kept_share`` of them, and none in the strips ``lost`` (K,), which had some.
    """
    kept_share: float
    lost: np.ndarray

    @property
    def suits(self) -> bool:
        return self.kept_share >= MIN_KEPT_SHARE and len(self.lost) < MIN_LOST_STRIPS

    def __str__(self) -> str:
        where = (f' and leaves {describe_strips(self.lost)} without points'
                 if len(self.lost) >= MIN_LOST_STRIPS else '')
        return f'keeps {self.kept_share:.0%} of the points that the images show{where}'


def range_effect(seen: SeenPoints, point_cloud_range: Range) -> RangeEffect:
    """What is left of the points that a camera sees."""
    inside = _inside(seen.points, point_cloud_range)
    before = np.bincount(seen.strips, minlength=NUM_STRIPS)
    after = np.bincount(seen.strips[inside], minlength=NUM_STRIPS)
    lost = (before >= OCCUPIED_SHARE * before.sum()) & (after < EMPTIED_SHARE * before)
    return RangeEffect(float(inside.mean()), np.flatnonzero(lost))


def suitable_range(seen: Sequence[SeenPoints], point_cloud_range: Range) -> list[float]:
    """A range that suits all cameras, as like the given one as can be.

    First the given one turned about z by quarters of a circle, then as far to all sides, each also with the
    heights that the cloud has; else what holds nearly all points that the images show.
    """
    for candidate in _candidates(seen, point_cloud_range):
        if all(range_effect(one, candidate).suits for one in seen):
            return candidate
    points = np.concatenate([one.points for one in seen])
    return _bounds(points, [0, 1, 2])


def _candidates(seen: Sequence[SeenPoints], given: Range) -> Iterator[list[float]]:
    x0, y0, z0, x1, y1, z1 = map(float, given)
    far = max(map(abs, (x0, y0, x1, y1)))
    footprints = [(x0, y0, x1, y1), (-y1, x0, -y0, x1), (y0, -x1, y1, -x0), (-x1, -y1, -x0, -y0),
                  (-far, -far, far, far)]
    found = _bounds(np.concatenate([one.points for one in seen]), [2])
    for low, high in ((z0, z1), found):
        for x_low, y_low, x_high, y_high in footprints:
            yield [x_low, y_low, low, x_high, y_high, high]


def _bounds(points: np.ndarray, axes: list[int]) -> list[float]:
    """From, to, of 99 % of the points (N, 3) on some axes, out to whole metres."""
    low, high = np.quantile(points[:, axes], (0.005, 0.995), axis=0)
    return [*np.floor(low).tolist(), *np.ceil(high).tolist()]


def _inside(points: np.ndarray, point_cloud_range: Range) -> np.ndarray:
    low, high = np.array(point_cloud_range[:3]), np.array(point_cloud_range[3:])
    return ((points > low) & (points < high)).all(axis=1)
