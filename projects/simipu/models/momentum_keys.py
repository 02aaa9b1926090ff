"""Keys that change slowly: from moving averages of the modules that make them."""
from collections.abc import Sequence

import torch
from mmengine.model import ExponentialMovingAverage
from torch import Tensor, nn

from .point_encoders import PointFeatures


class MomentumKeys(nn.Module):
    """Moving averages of the point encoder and of the keys' projectors (He et al., MoCo, CVPR 2020).

    Nothing here gets a gradient. Batch norm works as in training, on the statistics of the batch.

    Args:
        point_encoder: The one that is trained.
        projectors: Projector of the keys for each level of the image features, as trained.
        momentum: What share of the averages each update replaces by the trained weights.
    """

    def __init__(self, point_encoder: nn.Module, projectors: Sequence[nn.Module],
                 momentum: float) -> None:
        super().__init__()
        self.point_encoder = ExponentialMovingAverage(point_encoder, momentum)
        self.projectors = nn.ModuleList(ExponentialMovingAverage(projector, momentum)
                                        for projector in projectors)

    def update(self, point_encoder: nn.Module, projectors: Sequence[nn.Module]) -> None:
        """Follow the trained modules; the first time, take over their weights."""
        for average, trained in zip([self.point_encoder, *self.projectors],
                                    [point_encoder, *projectors]):
            average.update_parameters(trained)

    @torch.no_grad()
    def encode(self, points: Tensor, sampling: Sequence[Tensor]) -> PointFeatures:
        """What the point encoder makes of points (B, N, 3 + D), at the points of ``sampling``."""
        return self.point_encoder(points, sampling=sampling)

    @torch.no_grad()
    def project(self, level: int, features: Tensor) -> Tensor:
        """Features (K, C) of points to keys (K, D) of the level of that number."""
        return self.projectors[level](features)
