"""Checks of the clouds' numbers: units, heights, axes, arrays saved the wrong way round, ranges of values."""
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from mmdet3d.datasets.transforms import PointsRangeFilter
from scipy.stats import ks_2samp

from .report import Finding

UNITS = dict(kilometres=1000.0, millimetres=0.001, inches=0.0254, centimetres=0.01, feet=0.3048)
"""Metres that each is."""
FARTHEST = (8.0, 400.0)
"""Metres from, to, at which the 99th percentile of a LiDAR's distances lies."""
CAMERA_HEIGHT = (0.9, 3.3)
"""Metres above the ground at which vehicles carry cameras."""
LOOKS_METRIC = (0.0, 4.2)
MAX_CAMERA_DISTANCE = 15.0
"""Metres from LiDAR to camera, with the way that a vehicle drives between their moments."""
SAME_DISTRIBUTION = 0.05
FEATURE_RANGE = (-1.1, 1.5)
"""Of further values of a point that reach the encoder; what networks are initialised for."""
FULL_SCALES = (100, 255, 4095, 65535)
"""Largest intensities of common formats."""


class CloudFigures(NamedTuple):
    """Of one cloud, in its own unit.

    ``far`` is the 99th percentile of horizontal distances, ``ground`` the z below which few of the nearer
    points lie.
    """

    far: float
    ground: float


def cloud_figures(points: np.ndarray) -> CloudFigures:
    """Figures of a cloud (N, 3)."""
    distance = np.hypot(points[:, 0], points[:, 1])
    near = points[distance <= np.quantile(distance, 0.5)]
    return CloudFigures(float(np.quantile(distance, 0.99)), float(np.quantile(near[:, 2], 0.05)))


def check_units(figures: Sequence[CloudFigures], camera_heights: Sequence[float]) -> Iterator[Finding]:
    """Whether the clouds are in metres: by how far they reach, and by how high the cameras ride.

    Args:
        figures: Of each cloud.
        camera_heights: z of each camera's centre in the LiDAR frame, by the calibration, in metres.
    """
    if not figures:
        return
    far, ground = np.median(figures, axis=0)
    height = float(np.median(camera_heights)) - ground
    if far <= FARTHEST[1] and far >= 1 and not height > LOOKS_METRIC[1]:
        return
    fitting = [unit for unit, metres in UNITS.items() if FARTHEST[0] <= far * metres <= FARTHEST[1]
               and (CAMERA_HEIGHT[0] <= height * metres <= CAMERA_HEIGHT[1] or abs(ground) < 0.5)]
    if fitting:
        unit = fitting[0]
        yield Finding('units', f'the clouds are in {unit}, not metres: they reach {far:.0f} of them far, and the '
                      f'cameras ride {height:.1f} of them above the ground. Multiply x, y and z by '
                      f'{UNITS[unit]:g} and write the clouds anew'
                      + ('. If the cameras are really so many metres high, as at a roadside, nothing is wrong'
                         if unit == 'feet' else ''))
    elif far > FARTHEST[1] or far < 1:
        yield Finding('units', f'the clouds reach {far:.4g} m far (99 % of the points are nearer), as no '
                      'LiDAR does: another unit, or columns that are no coordinates')


def check_camera_distance(camera: str, centre: np.ndarray) -> Iterator[Finding]:
    """Whether a camera sits near the LiDAR; ``centre`` (3,) in the LiDAR frame, in metres."""
    distance = float(np.linalg.norm(centre))
    if distance <= MAX_CAMERA_DISTANCE:
        return
    units = {unit: UNITS[unit] for unit in ('millimetres', 'centimetres')
             if 0.01 < UNITS[unit] * distance < MAX_CAMERA_DISTANCE / 3}
    if units:
        factors = ', or '.join(f'by {metres:g} if it is {metres * distance:.3g} m, that is, in {unit}'
                               for unit, metres in units.items())
        advice = ('its translation is not in metres, as the clouds are. Multiply the last column of lidar2cam '
                  f'{factors}, and compose lidar2img anew')
    else:
        advice = ('coordinates of a map or of the vehicle\'s start got into it. Give clouds and calibration '
                  'relative to the LiDAR')
    yield Finding('units', f'{camera}: by its calibration it sits {distance:.4g} m from the LiDAR; {advice}',
                  camera=camera)


def check_transposed(index: int, points: np.ndarray) -> Iterator[Finding]:
    """Whether the columns of a cloud (N, 3) look all alike, as after an array was saved transposed."""
    some = points[np.linspace(0, len(points) - 1, min(len(points), 2000)).astype(int)]
    apart = [ks_2samp(some[:, 0], some[:, axis]).statistic for axis in (1, 2)]
    if len(some) >= 500 and max(apart) < SAME_DISTRIBUTION:
        yield Finding('odd cloud', f'frame {index}: x, y and z of its cloud are distributed alike, as if the '
                      'array had been saved transposed, all x first. Save it with one row per point '
                      '(points.T.tofile(...) if it is (4, N))', index)


def check_heights(ground: float, place: str, transforms: Sequence) -> Iterator[Finding]:
    """Whether the range filter keeps the ground and what stands on it."""
    for number, transform in enumerate(transforms):
        if not isinstance(transform, PointsRangeFilter):
            continue
        low, high = float(transform.pcd_range[2]), float(transform.pcd_range[5])
        if low < ground - 0.2 and high > ground + 2:
            continue
        wanted = [*map(float, transform.pcd_range)]
        wanted[2], wanted[5] = float(np.floor(ground - 1)), float(np.ceil(ground + 3))
        yield Finding('range filter', f'{place}.pipeline.{number}: point_cloud_range keeps heights from {low:g} to '
                      f'{high:g} m, but the ground lies at {ground:.1f} m, so that '
                      + ('the ground is cut off' if low >= ground - 0.2 else
                         f'nothing higher than {high - ground:.1f} m above the ground is left')
                      + f'. Set {place}.pipeline.{number}.point_cloud_range={format_range(wanted)}')


def check_features(features: np.ndarray, loader: str) -> Iterator[str]:
    """Warnings about the columns beyond x, y, z (N, C) that reach the encoder.

    Args:
        features: (N, C).
        loader: Place of LoadPairedPoints in the config.
    """
    for column in range(features.shape[1]):
        low, high = np.quantile(features[:, column], (0.01, 0.99))
        largest = np.abs(features[:, column]).max()
        found = (f'value {column + 4} of the points reaches the encoder as {low:.4g} to {high:.4g} (1st to 99th '
                 'percentile); about 0 to 1 is wanted')
        if low < FEATURE_RANGE[0] or high > FEATURE_RANGE[1]:
            scale = next((scale for scale in FULL_SCALES if largest <= scale), 'tanh')
            yield f'{found}, or it outweighs the coordinates' + (
                f'. Set {loader}.intensity_scale={scale}' if column == 0 else '. Leave it out by use_dim')
        elif 0 < largest < 0.02:
            yield f'{found}, or it counts for nothing. Correct {loader}.intensity_scale'


def format_range(values: Sequence[float]) -> str:
    """As an override on the command line takes it."""
    return '[' + ','.join(f'{value + 0.0:g}' for value in values) + ']'
