"""Depth of pixels, read linearly from feature maps."""
import math
from collections.abc import Sequence

from mmdet3d.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from ...errors import ConfigError
from ...geometry import sample_features

TYPICAL_DEPTH = 15.0
"""Metres that are predicted at first: so the features need not bring forth the mean of the log depth."""


@MODELS.register_module()
class DepthRegressionHead(BaseModule):
    """Regresses the log depth at the pixels of all visible points; L1 loss.

    One linear layer for each level, so that depth must be in the features.

    Args:
        in_channels: Width of the feature map of each level; a number where there is one.
        loss_weight: Factor of the loss, which is the sum over the levels of their mean errors.

    Examples:
        >>> import torch
        >>> from simipu.models.heads import DepthRegressionHead
        >>> head = DepthRegressionHead(in_channels=(64, 128))
        >>> maps = torch.randn(2, 64, 16, 48), torch.randn(2, 128, 8, 24)  # strides 8 and 16
        >>> pixel = torch.rand(2, 100, 2) * torch.tensor([384, 128])
        >>> depth = torch.rand(2, 100) * 60 + 1
        >>> losses = head.loss(maps, pixel, depth, depth < 50, input_shape=(128, 384))
        >>> sorted(losses)
        ['abs_rel', 'loss']
    """

    def __init__(self, in_channels: int | Sequence[int], loss_weight: float = 1.0,
                 init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        self.layers = nn.ModuleList(nn.Conv2d(width, 1, kernel_size=1) for width in as_widths(in_channels))
        for layer in self.layers:
            nn.init.constant_(layer.bias, math.log(TYPICAL_DEPTH))
        self.loss_weight = loss_weight

    def loss(self, feature_maps: Sequence[Tensor], pixel: Tensor, depth: Tensor, visible: Tensor,
             input_shape: Sequence[int], surroundings: Tensor | None = None,
             occupancy: Tensor | None = None) -> dict[str, Tensor]:
        """Loss at the visible ones of N points in each of I images; zero where none is visible.

        Args:
            feature_maps: (I, C, h, w) of each level.
            pixel: (I, N, 2) as (u, v) in the network's input image.
            depth: (I, N) in metres.
            visible: (I, N) bool.
            input_shape: Height and width of that image.
            surroundings: For ``GeometryHead``; not looked at.
            occupancy: Likewise.

        Returns:
            ``loss``, and ``abs_rel``, the mean relative error of the last level's depth.
        """
        count = visible.sum().clamp(min=1)
        target = depth.where(visible, 1).log()
        errors = [(self._log_depth(layer, feature_map, pixel, input_shape) - target) * visible
                  for layer, feature_map in zip(self._layers_of(feature_maps), feature_maps)]
        return dict(loss=self.loss_weight * sum(error.abs().sum() for error in errors) / count,
                    abs_rel=errors[-1].detach().expm1().abs().sum() / count)

    def _layers_of(self, feature_maps: Sequence[Tensor]) -> nn.ModuleList:
        if len(feature_maps) != len(self.layers):
            raise ConfigError(f'DepthRegressionHead: {len(self.layers)} widths in in_channels, but '
                              f'{len(feature_maps)} levels in img_level; give one width for each level')
        return self.layers

    def _log_depth(self, layer: nn.Module, feature_map: Tensor, pixel: Tensor,
                   input_shape: Sequence[int]) -> Tensor:
        """(I, N): a linear layer commutes with bilinear sampling, and after it one channel is left to sample."""
        return sample_features(layer(feature_map), pixel, input_shape)[..., 0]


def as_widths(in_channels: int | Sequence[int]) -> Sequence[int]:
    """The width of each level."""
    return (in_channels,) if isinstance(in_channels, int) else in_channels
