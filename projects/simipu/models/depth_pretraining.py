"""The rival of the contrast: an image backbone trained to tell the depth that the LiDAR measures."""
from collections.abc import Sequence

from mmdet3d.registry import MODELS
from mmdet3d.structures import Det3DDataSample
from torch import Tensor

from ..geometry import sample_features
from .image_pretraining import ImagePretraining

MAX_PREDICTED_POINTS = 1024
"""So many points of a frame, which SamplePoints has put into random order, are enough for validation."""


@MODELS.register_module()
class DepthPretraining(ImagePretraining):
    """Pre-trains an image backbone by LiDAR depth alone, without point encoder and contrast.

    Args:
        img_backbone: Any registered image backbone.
        depth_head: ``DepthRegressionHead``, or another with its ``loss``.
        kwargs: Further arguments of ``ImagePretraining``.
    """

    def __init__(self, img_backbone: dict, depth_head: dict, **kwargs) -> None:
        super().__init__(img_backbone, depth_head=depth_head, **kwargs)

    def loss(self, inputs: dict[str, Tensor], data_samples: Sequence[Det3DDataSample]) -> dict[str, Tensor]:
        """The loss of ``depth_head``, with figures to watch."""
        return self.depth_losses(self.extract_image_levels(inputs['imgs']), inputs, data_samples)

    def predict(self, inputs: dict[str, Tensor],
                data_samples: Sequence[Det3DDataSample]) -> list[Det3DDataSample]:
        """Add to each frame ``pixel_feature`` (K, C) and ``pixel_depth`` (K,) in metres, for ``DepthProbeMetric``."""
        xyz = inputs['points'][:, :MAX_PREDICTED_POINTS, :3]
        points = self.project_points(xyz, inputs, data_samples)
        features = sample_features(self.extract_image_features(inputs['imgs']), points.pixel.flatten(0, 1),
                                   inputs['imgs'].shape[-2:]).unflatten(0, points.visible.shape[:2])
        for index, sample in enumerate(data_samples):
            visible = points.visible[index]
            sample.pixel_feature = features[index][visible]
            sample.pixel_depth = points.depth[index][visible]
        return list(data_samples)
