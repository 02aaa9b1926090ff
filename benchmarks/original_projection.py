"""SimIPU with the projection errors of the original code, to measure what mending them is worth.

Only for ``ablations.py`` and ``transfer.py`` in this folder; a config gets at it by ``custom_imports``.
"""
import torch
from mmdet3d.registry import MODELS
from torch import Tensor

from simipu.geometry import project_to_cameras
from simipu.models.image_pretraining import ProjectedPoints, stack_metainfo, to_device
from simipu.models.simipu import SimIPU


@MODELS.register_module()
class OriginalProjectionSimIPU(SimIPU):
    """In training, pixels are where the original looks for them; validation is as it should be.

    The original mirrors u to W - u, takes pixel u to index u / W (w - 1) of the map, with W each
    sample's own padded width though the map is that of the whole batch, and pairs points that no
    camera sees. (It reads zeros outside of the map, here the border's value is read.)
    """

    def project_points(self, xyz: Tensor, inputs: dict[str, Tensor], data_samples: list) -> ProjectedPoints:
        if not self.training:
            return super().project_points(xyz, inputs, data_samples)
        lidar2img, img_aug_matrix, ori_shape, img_shape = to_device(
            [stack_metainfo(data_samples, name) for name in ('lidar2img', 'img_aug_matrix', 'ori_shape', 'img_shape')],
            xyz.device)
        raw = torch.eye(4).to(img_aug_matrix).expand_as(img_aug_matrix)
        pixels, depth, _ = project_to_cameras(xyz.double(), lidar2img, raw, ori_shape, ori_shape)
        scale = torch.stack([img_aug_matrix[..., 0, 0], img_aug_matrix[..., 1, 1]], dim=-1)
        own = img_shape.flip(-1)  # width, height
        pixels = pixels * scale[:, :, None] + (own * (scale < 0))[:, :, None]
        divisor = self.data_preprocessor.pad_size_divisor
        padded = (own / divisor).ceil() * divisor
        height, width = inputs['imgs'].shape[-2:]
        size = pixels.new_tensor([width, height])
        stride = 2 ** (2 + self.img_backbone.num_stages - 1)
        index = pixels / padded[:, :, None] * (size / stride - 1)
        # The pixel at which sample_features reads this index of the map.
        pixels = (index + 0.5) * stride - 0.5
        return ProjectedPoints(pixels.float(), depth.float(), torch.ones_like(depth, dtype=torch.bool))
