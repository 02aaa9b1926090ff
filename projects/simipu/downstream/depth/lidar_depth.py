"""Depth labels from the LiDAR of a paired frame, so that depth can be learnt without annotation."""
from collections.abc import Sequence

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmdet3d.registry import TRANSFORMS
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import Tensor

from ...errors import ConfigError, DataError
from ...geometry import Occlusion, project_to_cameras


def lidar_depth_map(pixels: Tensor, depth: Tensor, img_shape: Sequence[int]) -> Tensor:
    """Draw points into an image of depths; the nearest of those in a pixel counts.

    Args:
        pixels: (N, 2) as (u, v), inside the image.
        depth: (N,) in metres.
        img_shape: Height and width.

    Returns:
        (height, width) in metres, 0 where there is no point.
    """
    height, width = img_shape
    column, row = (pixels + 0.5).long().unbind(-1)
    nearest = depth.new_full((height * width, ), float('inf'))
    nearest.scatter_reduce_(0, row * width + column, depth, 'amin')
    return torch.where(nearest.isinf(), 0, nearest).view(height, width)


@TRANSFORMS.register_module()
class PackLidarDepth(BaseTransform):
    """Pack a frame's image with the depth of its LiDAR points, for mmsegmentation's DepthEstimator.

    The image may have been resized, cropped, flipped or rotated by the transforms of this package.

    Required keys: ``points``, and of one camera ``img``, ``img_path``, ``lidar2img``,
    ``img_aug_matrix``, ``ori_shape``, ``img_shape``.

    Returns ``dict(inputs, data_samples)``: (3, H, W) uint8 BGR, and a ``SegDataSample`` with
    ``gt_depth_map`` (1, H, W) float32 in metres, 0 where no point is seen. Its ``ori_shape`` is (H, W)
    too, that predictions come back at this size.

    Args:
        occlusion: Arguments of ``Occlusion``; drops points that a nearer surface hides from the
            camera. None keeps them.

    Raises:
        ConfigError: The frame has several cameras.
        DataError: No point is in the image.
    """

    def __init__(self, occlusion: dict | None = None) -> None:
        self.occlusion = None if occlusion is None else Occlusion(**occlusion)

    def transform(self, results: dict) -> dict:
        if len(results['img']) != 1:
            raise ConfigError(f'PackLidarDepth takes frames of one camera, not {len(results["img"])}; '
                              'put SampleCameras(num_cameras=1) first in the pipeline, or set '
                              '`cameras` of the data set')
        image = results['img'][0]
        data_sample = SegDataSample(gt_depth_map=PixelData(data=self._depth_map(results)[None].float()))
        shape = image.shape[:2]
        data_sample.set_metainfo(dict(img_path=results['img_path'][0], img_shape=shape, ori_shape=shape))
        inputs = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
        return dict(inputs=inputs, data_samples=data_sample)

    def _depth_map(self, results: dict) -> Tensor:
        points = results['points'].coord.double()[None]
        matrices = [torch.from_numpy(np.asarray(results[key], dtype=np.float64))[None]
                    for key in ('lidar2img', 'img_aug_matrix', 'ori_shape', 'img_shape')]
        pixels, depth, visible = (tensor[0, 0] for tensor in project_to_cameras(
            points, *matrices, cloud=points, occlusion=self.occlusion))
        if not visible.any():
            raise DataError(f'{results["lidar_path"]}: none of its {points.shape[1]} points is in '
                            f'{results["img_path"][0]} as augmented, so there is no depth to learn; check '
                            'the calibration with `simipu check-dataset`, or crop less')
        return lidar_depth_map(pixels[visible], depth[visible], results['img_shape'][0])

    def __repr__(self) -> str:
        return f'{type(self).__name__}(occlusion={self.occlusion})'
