"""SimIPU with the projection errors of the original code, to measure what mending them is worth.

Only for ``ablations.py`` and ``transfer.py`` in this folder; a config gets at it by ``custom_imports``.
"""
import torch
from mmdet3d.registry import MODELS
from torch import Tensor

from simipu.geometry import project_to_cameras
from simipu.models import simipu as model_module


@MODELS.register_module()
class OriginalProjectionSimIPU(model_module.SimIPU):
    """In training, pixels are where the original looks for them; validation is as it should be.

    The original mirrors u to W - u, takes pixel u to index u / W (w - 1) of the map, with W each
    sample's own padded width though the map is that of the whole batch, and pairs points that no
    camera sees. (It reads zeros outside of the map, here the border's value is read.)
    """

    def pair_pixels_with_points(self, points, inputs, data_samples):
        if not self.training:
            return super().pair_pixels_with_points(points, inputs, data_samples)
        height, width = inputs['imgs'].shape[-2:]
        divisor = self.data_preprocessor.pad_size_divisor
        stride = 2 ** (2 + self.img_backbone.num_stages - 1)

        def misplaced(xyz: Tensor, lidar2img: Tensor, img_aug_matrix: Tensor, ori_shape: Tensor,
                      img_shape: Tensor, **kwargs) -> tuple[Tensor, Tensor, Tensor]:
            raw = torch.eye(4).to(img_aug_matrix).expand_as(img_aug_matrix)
            pixels, depth, _ = project_to_cameras(xyz, lidar2img, raw, ori_shape, ori_shape)
            scale = torch.stack([img_aug_matrix[..., 0, 0], img_aug_matrix[..., 1, 1]], dim=-1)
            own = img_shape.flip(-1)  # width, height
            pixels = pixels * scale[:, :, None] + (own * (scale < 0))[:, :, None]
            padded = (own / divisor).ceil() * divisor
            size = pixels.new_tensor([width, height])
            index = pixels / padded[:, :, None] * (size / stride - 1)
            # The pixel at which sample_features reads this index of the map.
            return (index + 0.5) * stride - 0.5, depth, torch.ones_like(depth, dtype=torch.bool)

        mended, model_module.project_to_cameras = model_module.project_to_cameras, misplaced
        try:
            return super().pair_pixels_with_points(points, inputs, data_samples)
        finally:
            model_module.project_to_cameras = mended
