"""Which of the cells around a point hold points of the cloud."""
from collections.abc import Sequence
from itertools import product

import numpy as np
from mmcv.transforms import BaseTransform
from mmdet3d.registry import TRANSFORMS

from ...errors import ConfigError
from ...neighbour_cells import NUM_CELLS
from .surroundings import MAX_POINTS, cloud_and_sample, column_numbers


def occupied_cells(cloud: np.ndarray, xyz: np.ndarray, cell: float) -> np.ndarray:
    """Which cells around some points are occupied.

    Upwards they are centred on the point: the middle ones reach from half a cell below it to half a cell
    above. On the ground a cell is the square of a grid that its centre falls in, so that one sorting of the cloud
    serves all points; squares do not turn with the ray, and where that runs diagonally, one may be the point's own.

    Args:
        cloud: (N, 3) in LiDAR frame, metres.
        xyz: (K, 3), points of the cloud.
        cell: Side of the cells in metres.

    Returns:
        (K, 26) bool, in the order of ``neighbour_cells``.
    """
    columns, own = np.unique(column_numbers(cloud[:, :2], cell), return_inverse=True)
    lowest, space = cloud[:, 2].min(), np.ptp(cloud[:, 2]) + 4 * cell  # of a column in a row of them all, with a gap
    heights = np.sort(own * space + cloud[:, 2] - lowest)
    wanted = column_numbers(xyz[:, None, :2] + cell * _steps_on_the_ground(xyz), cell)
    column = np.searchsorted(columns, wanted).clip(max=len(columns) - 1)
    borders = xyz[:, 2] - lowest + cell * np.array([[-1.5], [-0.5], [0.5], [1.5]])
    points_below = np.searchsorted(heights, column[..., None] * space + borders.T[:, None])
    occupied = (np.diff(points_below) > 0) & (columns[column] == wanted)[..., None]
    return np.delete(occupied.reshape(len(xyz), -1), NUM_CELLS // 2, axis=1)


def _steps_on_the_ground(xyz: np.ndarray) -> np.ndarray:
    """(K, 9, 2), from each point to the centres of the columns around it and its own, in cells."""
    away = xyz[:, :2] / np.linalg.norm(xyz[:, :2], axis=1, keepdims=True).clip(min=1e-6)
    left = np.stack([-away[:, 1], away[:, 0]], axis=1)
    steps = np.array(list(product((-1, 0, 1), repeat=2)), dtype=np.float64)
    return steps[:, :1] * away[:, None] + steps[:, 1:] * left[:, None]


@TRANSFORMS.register_module()
class DescribeOccupancy(BaseTransform):
    """Tell of sampled points which cells around them hold points of the cloud, for ``GeometryHead``.

    It follows ``SamplePoints``, and looks for neighbours in the cloud from which that sampled. Behind a surface, where
    the LiDAR sees nothing, cells are empty.

    Required keys: ``points``, ``unsampled_points``. Added key: ``occupancy``, (K, S * 26) bool, of the first K sampled
    points: for each of S sizes the 26 cells in the order of ``neighbour_cells``; see ``occupied_cells``.

    Args:
        cells: Sizes of the cells in metres. Those of the default are small enough for the sides of a person, and large
            enough for the gap between two cars.
        max_points: At most so many points are described, as by ``DescribeSurroundings``.
    """

    def __init__(self, cells: Sequence[float] = (0.8, 2.4), max_points: int = MAX_POINTS) -> None:
        if not cells or min(cells) <= 0:
            raise ConfigError(f'DescribeOccupancy: cells must be sizes in metres, more than 0, not {tuple(cells)}')
        self.cells = tuple(cells)
        self.max_points = max_points

    def transform(self, results: dict) -> dict:
        cloud, xyz = cloud_and_sample(results, type(self).__name__, self.max_points)
        results['occupancy'] = np.concatenate([occupied_cells(cloud, xyz, cell) for cell in self.cells], axis=1)
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(cells={self.cells}, max_points={self.max_points})'
