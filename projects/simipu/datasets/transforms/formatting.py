"""Turn a frame into the model's input."""
import cv2
import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmdet3d.registry import TRANSFORMS
from mmdet3d.structures import Det3DDataSample

META_KEYS = ('sample_idx', 'cam_names', 'img_path', 'lidar_path', 'lidar2img', 'img_aug_matrix',
             'lidar_aug_matrix', 'ori_shape', 'img_shape')


@TRANSFORMS.register_module()
class PackPairedInputs(BaseTransform):
    """Pack a frame into tensors and a data sample.

    Required keys: ``points``, ``img`` and the meta keys ``sample_idx``, ``cam_names``,
    ``img_path``, ``lidar_path``, ``lidar2img``, ``img_aug_matrix``, ``ori_shape``, ``img_shape``.
    Optional, of the second view: ``points_aug``, ``lidar_aug_matrix``; of DescribeSurroundings: ``surroundings``; of
    DescribeOccupancy: ``occupancy``.

    Returns ``dict(inputs, data_samples)``: ``inputs`` holds ``points`` and ``points_aug``, (N, C)
    float32, ``surroundings`` (K, 3) float32, ``occupancy`` (K, S * 26) bool, and ``img``, V tensors (3, H, W) uint8
    BGR; ``data_samples`` is one ``Det3DDataSample`` with the meta keys as its metainfo.
    """

    def transform(self, results: dict) -> dict:
        inputs = {key: results[key].tensor for key in ('points', 'points_aug') if key in results}
        inputs.update({key: torch.from_numpy(results[key]) for key in ('surroundings', 'occupancy') if key in results})
        inputs['img'] = [_to_tensor(image) for image in results['img']]
        data_sample = Det3DDataSample()
        data_sample.set_metainfo(
            {key: results[key] for key in META_KEYS if key != 'lidar_aug_matrix' or key in results})
        return dict(inputs=inputs, data_samples=data_sample)

    def __repr__(self) -> str:
        return f'{type(self).__name__}()'


def _to_tensor(image: np.ndarray) -> torch.Tensor:
    """(3, H, W); OpenCV takes channels apart ten times as fast as NumPy copies a transposed array."""
    planes = np.empty((3, *image.shape[:2]), image.dtype)
    cv2.split(image, list(planes))
    return torch.from_numpy(planes)
