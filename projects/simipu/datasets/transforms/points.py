"""Choose the points of a cloud, and make its second view."""
from collections.abc import Sequence

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmdet3d.datasets.transforms import PointsRangeFilter
from mmdet3d.registry import TRANSFORMS
from mmdet3d.structures import BasePoints

from ...errors import ConfigError, DataError
from ...geometry import (
    about_centre,
    mirror_matrix,
    rotation_matrix,
    scaling_matrix,
    transform_points,
    translation_matrix,
)
from .point_kernels import rows_in_range, seen_by_a_camera


@TRANSFORMS.register_module()
class PairedPointsRangeFilter(PointsRangeFilter):
    """mmdet3d's PointsRangeFilter that raises an error instead of leaving an empty cloud.

    Required and modified key: ``points``. ``point_cloud_range`` is x, y, z from, and x, y, z to, in metres.

    Raises:
        DataError: No point is within the range.
    """

    def transform(self, results: dict) -> dict:
        points = results['points']
        inside = rows_in_range(points.tensor.numpy(), self.pcd_range)
        if not len(inside):
            raise DataError(f'{results["lidar_path"]}: none of its {len(points)} points is within '
                            f'point_cloud_range {self.pcd_range.tolist()} (x, y, z from, x, y, z '
                            'to, in metres); correct the range, or leave the frame out of the info '
                            'file')
        results['points'] = _take(points, inside)
        return results


@TRANSFORMS.register_module()
class SamplePoints(BaseTransform):
    """Sample a fixed number of points, so that clouds stack into one tensor.

    Without replacement; a smaller cloud is kept whole and filled up with random repeats.

    A full sweep lies mostly outside the images, and points that no image shows are lost to the
    inter-modal contrast. ``visible_share`` makes sure that enough of the sample is of use.

    Required and modified key: ``points``. With ``visible_share``, also ``lidar2img``,
    ``img_aug_matrix``, ``ori_shape`` and ``img_shape``, of LoadPairedImages. Added key: ``unsampled_points``,
    the points before.

    Args:
        num_points: How many.
        visible_share: At least this share of the sample is visible in one of the frame's images as
            they are at this place in the pipeline, as far as the cloud has so many such points.
            0 draws from all points alike. 1 is what KITTI's ``velodyne_reduced`` clouds give, with
            which the paper trained.
    """

    def __init__(self, num_points: int, visible_share: float = 0.0) -> None:
        if not 0 <= visible_share <= 1:
            raise ConfigError(f'SamplePoints: visible_share must be in 0..1, not {visible_share}')
        self.num_points = num_points
        self.visible_share = visible_share

    def transform(self, results: dict) -> dict:
        available = len(results['points'])
        order = np.random.permutation(available)
        chosen = order[:self.num_points]
        if self.visible_share > 0 and available > self.num_points:
            chosen = self._with_enough_visible(order, _seen(results)[order])
        repeats = np.random.choice(available, self.num_points - len(chosen))
        results['unsampled_points'] = results['points']
        results['points'] = _take(results['points'], np.concatenate([chosen, repeats]))
        return results

    def _with_enough_visible(self, order: np.ndarray, seen: np.ndarray) -> np.ndarray:
        """The first of ``order``, as many visible ones as wanted before the others; ``seen`` follows ``order``."""
        wanted = int(np.ceil(self.visible_share * self.num_points))
        if np.count_nonzero(seen[:self.num_points]) >= wanted:
            return order[:self.num_points]
        preferred = np.flatnonzero(seen)[:wanted]
        others = np.ones(len(order), bool)
        others[preferred] = False
        others = np.flatnonzero(others)[:self.num_points - len(preferred)]
        return order[np.concatenate([preferred, others])]

    def __repr__(self) -> str:
        return (f'{type(self).__name__}(num_points={self.num_points}, '
                f'visible_share={self.visible_share})')


def _seen(results: dict) -> np.ndarray:
    """(N,) whether any image of the frame, as augmented so far, shows a point."""
    matrices = (np.asarray(results[key], np.float32)
                for key in ('lidar2img', 'img_aug_matrix', 'ori_shape', 'img_shape'))
    return seen_by_a_camera(results['points'].tensor.numpy(), *matrices)


def _take(points: BasePoints, rows: np.ndarray) -> BasePoints:
    """``points[rows]``, which takes several times as long by a mask or a tensor."""
    return points.new_point(torch.from_numpy(points.tensor.numpy().take(rows, axis=0)))


@TRANSFORMS.register_module()
class PointCloudSecondView(BaseTransform):
    """Make the second view of the cloud for intra-modal learning (of SimIPU).

    The cloud is mirrored, rotated about z and scaled, all about ``centre``, then shifted.

    Required key: ``points``. Added keys: ``points_aug``, as many points, and ``lidar_aug_matrix``,
    (4, 4) float64, which maps ``points`` onto ``points_aug``. The first view stays as it is, so
    that the images' ``lidar2img`` applies to it.

    Args:
        rot_range: Radians from, to. The paper's +-pi/2 is the default.
        scale_range: Factors from, to.
        flip_prob: Chance of a mirror image along y (left-right), or a pair of chances along (y, x).
        translation_std: Standard deviation of the shift in metres, one value or (x, y, z).
        centre: Point (x, y, z) in metres that rotation, scale and mirror leave in place; the middle
            of the point cloud range keeps the second view where the first is.
        shuffle: Put the points of the second view in random order, as the original does. Without, row
            i of both views is the same point, as ``IndexMatcher`` needs it.
    """

    def __init__(self,
                 rot_range: Sequence[float] = (-np.pi / 2, np.pi / 2),
                 scale_range: Sequence[float] = (0.75, 1.25),
                 flip_prob: float | Sequence[float] = 0.5,
                 translation_std: float | Sequence[float] = 0.0,
                 centre: Sequence[float] = (35.2, 0.0, -1.0),
                 shuffle: bool = False) -> None:
        self.rot_range = rot_range
        self.scale_range = scale_range
        self.flip_prob = (flip_prob, 0.0) if np.isscalar(flip_prob) else flip_prob
        self.translation_std = translation_std
        self.centre = centre
        self.shuffle = shuffle

    def transform(self, results: dict) -> dict:
        matrix = self._random_matrix()
        points = results['points'].clone()
        moved = transform_points(points.coord.double(), torch.from_numpy(matrix))
        points.coord = moved.to(points.coord.dtype)
        if self.shuffle:
            points = points[torch.from_numpy(np.random.permutation(len(points)))]
        results['points_aug'] = points
        results['lidar_aug_matrix'] = matrix
        return results

    def _random_matrix(self) -> np.ndarray:
        matrix = scaling_matrix(np.random.uniform(*self.scale_range))
        matrix = matrix @ rotation_matrix(np.random.uniform(*self.rot_range), 'z')
        for axis, prob in zip('yx', self.flip_prob):
            if np.random.rand() < prob:
                matrix = matrix @ mirror_matrix(axis)
        shift = np.random.normal(scale=self.translation_std, size=3)
        return translation_matrix(shift) @ about_centre(matrix, self.centre)

    def __repr__(self) -> str:
        return (f'{type(self).__name__}(rot_range={tuple(self.rot_range)}, '
                f'scale_range={tuple(self.scale_range)}, flip_prob={tuple(self.flip_prob)}, '
                f'translation_std={self.translation_std}, centre={tuple(self.centre)}, '
                f'shuffle={self.shuffle})')
