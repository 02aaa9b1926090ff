"""Which of the cells around a point hold points of the cloud."""
from collections.abc import Sequence

import numpy as np
from mmcv.transforms import BaseTransform
from mmdet3d.registry import TRANSFORMS

from ...errors import ConfigError
from ...neighbour_cells import STEPS


def occupied_cells(cloud: np.ndarray, xyz: np.ndarray, cell: float) -> np.ndarray:
    """Which cells around some points are occupied, on a grid that is fixed to the cloud.

    A cell counts as occupied where the cube of the grid that its centre falls in holds a point of the cloud. So one
    pass over the cloud serves all points; but the cubes do not turn with the ray, and where it runs diagonally, that
    cube may be the one of the point itself.

    Args:
        cloud: (N, 3) in LiDAR frame, metres.
        xyz: (K, 3), points of the cloud.
        cell: Side of the cubes, and distance of the cells, in metres.

    Returns:
        (K, 26) bool, in the order of ``neighbour_cells``.
    """
    lowest = np.floor(cloud.min(0) / cell) - 2  # no neighbour lies farther than the square root of 2 cells
    shape = np.floor(cloud.max(0) / cell) - lowest + 3

    def number(points: np.ndarray) -> np.ndarray:
        x, y, z = np.moveaxis(np.floor(points / cell) - lowest, -1, 0).astype(np.int64)
        return (x * int(shape[1]) + y) * int(shape[2]) + z

    occupied = np.unique(number(cloud))
    wanted = number(xyz[:, None] + cell * _offsets(xyz))
    found = np.searchsorted(occupied, wanted).clip(max=len(occupied) - 1)
    return occupied[found] == wanted


def _offsets(xyz: np.ndarray) -> np.ndarray:
    """(K, 26, 3), from each point to the centres of its cells, in cells."""
    away = xyz[:, :2] / np.linalg.norm(xyz[:, :2], axis=1, keepdims=True).clip(min=1e-6)
    left = np.stack([-away[:, 1], away[:, 0]], axis=1)
    steps = np.array(STEPS, dtype=np.float64)
    ground = steps[:, :1] * away[:, None] + steps[:, 1:2] * left[:, None]
    return np.concatenate([ground, np.broadcast_to(steps[:, 2:], (len(xyz), len(steps), 1))], axis=2)


@TRANSFORMS.register_module()
class DescribeOccupancy(BaseTransform):
    """Tell of each sampled point which cells around it hold points of the cloud, for ``GeometryHead``.

    It follows ``SamplePoints``, and looks for neighbours in the cloud from which that sampled. Behind a surface, where
    the LiDAR sees nothing, cells are empty.

    Required keys: ``points``, ``unsampled_points``. Added key: ``occupancy``, (N, S * 26) bool: for each of S sizes the
    26 cells in the order of ``neighbour_cells``; see ``occupied_cells``.

    Args:
        cells: Sizes of the cells in metres. Those of the default are small enough for the sides of a person, and large
            enough for the gap between two cars.
    """

    def __init__(self, cells: Sequence[float] = (0.8, 2.4)) -> None:
        if not cells or min(cells) <= 0:
            raise ConfigError(f'DescribeOccupancy: cells must be sizes in metres, more than 0, not {tuple(cells)}')
        self.cells = tuple(cells)

    def transform(self, results: dict) -> dict:
        if 'unsampled_points' not in results:
            raise ConfigError('DescribeOccupancy: there is no unsampled cloud; put it behind SamplePoints')
        cloud = results['unsampled_points'].coord.numpy().astype(np.float64)
        xyz = results['points'].coord.numpy().astype(np.float64)
        results['occupancy'] = np.concatenate([occupied_cells(cloud, xyz, cell) for cell in self.cells], axis=1)
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(cells={self.cells})'
