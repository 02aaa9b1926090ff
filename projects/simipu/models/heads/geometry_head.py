"""Depth and surface at pixels, read linearly from feature maps."""
from collections.abc import Sequence

from mmdet3d.registry import MODELS
from torch import Tensor, nn

from ...errors import ConfigError
from ...geometry import sample_features
from .depth_regression_head import DepthRegressionHead

NUM_TARGETS = 3  # of DescribeSurroundings


@MODELS.register_module()
class GeometryHead(DepthRegressionHead):
    """Regresses the log depth, and what ``DescribeSurroundings`` tells of the surface, at the pixels of visible points.

    One linear layer for each level, as in ``DepthRegressionHead``; L1 loss of every target.

    Args:
        in_channels: Width of the feature map of each level.
        loss_weight: Factor of the whole loss.
        surface_weight: Factor of the error of each target other than depth.

    Examples:
        >>> import torch
        >>> from simipu.models.heads import GeometryHead
        >>> head = GeometryHead(in_channels=(64, 128))
        >>> maps = torch.randn(2, 64, 16, 48), torch.randn(2, 128, 8, 24)  # strides 8 and 16
        >>> pixel = torch.rand(2, 100, 2) * torch.tensor([384, 128])
        >>> depth, surroundings = torch.rand(2, 100) * 60 + 1, torch.rand(2, 100, 3)
        >>> losses = head.loss(maps, pixel, depth, depth < 50, input_shape=(128, 384), surroundings=surroundings)
        >>> sorted(losses)
        ['abs_rel', 'loss', 'loss_surface']
    """

    def __init__(self, in_channels: Sequence[int], loss_weight: float = 1.0, surface_weight: float = 0.5,
                 init_cfg: dict | None = None) -> None:
        super().__init__(in_channels, loss_weight, init_cfg)
        self.surface_layers = nn.ModuleList(nn.Conv2d(width, NUM_TARGETS, kernel_size=1) for width in in_channels)
        for layer in self.surface_layers:
            nn.init.constant_(layer.bias, 0.5)
        self.surface_weight = surface_weight

    def loss(self, feature_maps: Sequence[Tensor], pixel: Tensor, depth: Tensor, visible: Tensor,
             input_shape: Sequence[int], surroundings: Tensor | None = None) -> dict[str, Tensor]:
        """As ``DepthRegressionHead.loss``, with the sum over levels and targets of their mean errors beside it.

        Args:
            feature_maps: (I, C, h, w) of each level.
            pixel: (I, N, 2) as (u, v) in the network's input image.
            depth: (I, N) in metres.
            visible: (I, N) bool.
            input_shape: Height and width of that image.
            surroundings: (I, N, 3) of ``DescribeSurroundings``; NaN is not learned.

        Returns:
            ``loss`` and ``abs_rel`` of depth, and ``loss_surface``.
        """
        if surroundings is None:
            raise ConfigError('GeometryHead: the frames have no surroundings; put '
                              "dict(type='DescribeSurroundings') behind SamplePoints in the pipeline")
        losses = super().loss(feature_maps, pixel, depth, visible, input_shape)
        known = visible[..., None] & surroundings.isfinite()
        target = surroundings.where(known, 0)
        count = known.sum((0, 1)).clamp(min=1)
        total = 0
        for layer, feature_map in zip(self.surface_layers, feature_maps):
            error = sample_features(layer(feature_map), pixel, input_shape) - target
            total = total + ((error * known).abs().sum((0, 1)) / count).sum()
        return dict(losses, loss_surface=self.loss_weight * self.surface_weight * total)
