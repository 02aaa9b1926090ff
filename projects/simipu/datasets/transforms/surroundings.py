"""What the cloud around a point says of the surface that it lies on."""
import numpy as np
from mmcv.transforms import BaseTransform
from mmdet3d.registry import TRANSFORMS
from scipy.spatial import cKDTree

from ...errors import ConfigError

NEIGHBOURS = 12
MAX_POINTS = 2048
# Ratios of the deviations of a neighbourhood along its axes: points of one beam lie on a line, those of leaves
# or of an edge in no plane.
LEAST_WIDTH, MOST_THICKNESS = 0.2, 0.2


def surface_normals(cloud: np.ndarray, xyz: np.ndarray, neighbours: int = NEIGHBOURS) -> np.ndarray:
    """Unit normals of the planes through the neighbours of some points, towards the origin, where the LiDAR is.

    Args:
        cloud: (N, 3) in LiDAR frame, metres.
        xyz: (K, 3), the points, in the same frame.
        neighbours: So many points of the cloud are fitted.

    Returns:
        (K, 3); NaN where the neighbours lie on a line or in no plane. To either side where the plane holds the origin.
    """
    neighbours = min(neighbours, len(cloud))
    near = cloud[cKDTree(cloud).query(xyz, neighbours)[1].reshape(len(xyz), neighbours)]
    near = near - near.mean(1, keepdims=True)
    variances, axes = np.linalg.eigh(near.transpose(0, 2, 1) @ near)
    thick, wide, long = np.sqrt(variances.clip(min=0)).T
    normals = axes[..., 0]
    normals *= np.where((normals * xyz).sum(1, keepdims=True) > 0, -1, 1)
    flat = (wide > LEAST_WIDTH * long) & (thick < MOST_THICKNESS * wide)
    return np.where(flat[:, None], normals, np.nan)


def column_heights(cloud: np.ndarray, xyz: np.ndarray, cell: float) -> np.ndarray:
    """From the lowest to the highest point in the column of the cloud that each of some points is in.

    Args:
        cloud: (N, 3) in LiDAR frame, metres.
        xyz: (K, 3), points of the cloud.
        cell: Side of the columns, which are squares of a grid, in metres.

    Returns:
        (K,) metres: none on a road, 1.5 at a car, many at a wall.
    """
    origin = cloud[:, :2].min(0)
    number = column_numbers(cloud[:, :2] - origin, cell)
    columns, first, own = np.unique(number, return_index=True, return_inverse=True)
    lowest, highest = cloud[first, 2].copy(), cloud[first, 2].copy()
    np.minimum.at(lowest, own, cloud[:, 2])
    np.maximum.at(highest, own, cloud[:, 2])
    return (highest - lowest)[np.searchsorted(columns, column_numbers(xyz[:, :2] - origin, cell))]


def column_numbers(ground: np.ndarray, cell: float) -> np.ndarray:
    """(...) int64, one number for each square of a grid on the ground, of points (..., 2)."""
    x, y = np.moveaxis(np.floor(ground / cell).astype(np.int64), -1, 0)
    return (x << 32) + y


def cloud_and_sample(results: dict, transform: str, max_points: int) -> tuple[np.ndarray, np.ndarray]:
    """(N, 3) of the cloud and (K, 3) of the first points that were sampled of it, float64.

    Raises:
        ConfigError: Nothing was sampled; ``transform`` is the name of what wants it.
    """
    if 'unsampled_points' not in results:
        raise ConfigError(f'{transform}: there is no unsampled cloud; put it behind SamplePoints')
    cloud, sample = results['unsampled_points'].coord, results['points'].coord[:max_points]
    return cloud.numpy().astype(np.float64), sample.numpy().astype(np.float64)


@TRANSFORMS.register_module()
class DescribeSurroundings(BaseTransform):
    """Describe the surface around sampled points, for ``GeometryHead``.

    It follows ``SamplePoints``, and looks for neighbours in the cloud from which that sampled. What it tells does not
    change when the image is mirrored.

    Required keys: ``points``, ``unsampled_points``. Added key: ``surroundings``, (K, 3) float32, of the first K
    sampled points:

    - how far the surface is level: |cosine| of the angle between its normal and z;
    - how far it faces the LiDAR: |cosine| of the angle between its normal and the ray from the origin, which is in
      the LiDAR, or near to it where clouds are in a vehicle's frame;
    - log(1 + height of the column in metres), see ``column_heights``.

    The first two are NaN where the neighbours lie in no plane.

    Args:
        neighbours: So many points of the cloud make a surface.
        cell: Side of the columns in metres; that of the default holds a pedestrian.
        max_points: At most so many points are described, which bounds the loader's time. ``SamplePoints`` leaves points
            in random order, those that an image shows first where it had to look for them.
    """

    def __init__(self, neighbours: int = NEIGHBOURS, cell: float = 0.8, max_points: int = MAX_POINTS) -> None:
        self.neighbours = neighbours
        self.cell = cell
        self.max_points = max_points

    def transform(self, results: dict) -> dict:
        cloud, xyz = cloud_and_sample(results, type(self).__name__, self.max_points)
        normals = surface_normals(cloud, xyz, self.neighbours)
        rays = xyz / np.linalg.norm(xyz, axis=1, keepdims=True)
        height = column_heights(cloud, xyz, self.cell)
        results['surroundings'] = np.stack(
            [abs(normals[:, 2]), abs((normals * rays).sum(1)), np.log1p(height)], axis=1).astype(np.float32)
        return results

    def __repr__(self) -> str:
        return (f'{type(self).__name__}(neighbours={self.neighbours}, cell={self.cell}, '
                f'max_points={self.max_points})')
