"""Depth, surface and occupied neighbourhood at pixels, read linearly from feature maps."""
from collections.abc import Sequence

from mmdet3d.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F

from ...errors import ConfigError
from ...geometry import sample_features
from ...neighbour_cells import NUM_CELLS
from .depth_regression_head import DepthRegressionHead, as_widths

NUM_TARGETS = 3  # of DescribeSurroundings


@MODELS.register_module()
class GeometryHead(DepthRegressionHead):
    """Learns the log depth, the surface and the occupied neighbourhood of visible points, at their pixels.

    What ``DescribeSurroundings`` tells of the surface is regressed as the depth is, with an L1 loss of every target;
    what ``DescribeOccupancy`` tells of the cells around a point is classified, with binary cross-entropy. The two may
    describe only the first of the points. One linear layer each for every level, as in ``DepthRegressionHead``.

    Args:
        in_channels: Width of the feature map of each level; a number where there is one.
        loss_weight: Factor of the whole loss.
        surface_weight: Factor of the error of each target of the surface.
        occupancy_weight: Factor of the mean cross-entropy of the cells; 0 does without them.
        num_sizes: How many sizes of cells ``DescribeOccupancy`` has.

    Examples:
        >>> import torch
        >>> from simipu.models.heads import GeometryHead
        >>> head = GeometryHead(in_channels=(64, 128))
        >>> maps = torch.randn(2, 64, 16, 48), torch.randn(2, 128, 8, 24)  # strides 8 and 16
        >>> pixel = torch.rand(2, 100, 2) * torch.tensor([384, 128])
        >>> depth, surroundings = torch.rand(2, 100) * 60 + 1, torch.rand(2, 100, 3)
        >>> occupancy = torch.rand(2, 100, 2 * 26) < 0.3
        >>> losses = head.loss(maps, pixel, depth, depth < 50, (128, 384), surroundings, occupancy)
        >>> sorted(losses)
        ['abs_rel', 'loss', 'loss_occupancy', 'loss_surface']
    """

    def __init__(self, in_channels: int | Sequence[int], loss_weight: float = 1.0, surface_weight: float = 0.5,
                 occupancy_weight: float = 3.0, num_sizes: int = 2, init_cfg: dict | None = None) -> None:
        in_channels = as_widths(in_channels)
        super().__init__(in_channels, loss_weight, init_cfg)
        self.surface_layers = nn.ModuleList(nn.Conv2d(width, NUM_TARGETS, kernel_size=1) for width in in_channels)
        for layer in self.surface_layers:
            nn.init.constant_(layer.bias, 0.5)
        self.surface_weight = surface_weight
        self.occupancy_weight = occupancy_weight
        self.num_sizes = num_sizes
        if occupancy_weight:
            self.occupancy_layers = nn.ModuleList(
                nn.Conv2d(width, num_sizes * NUM_CELLS, kernel_size=1) for width in in_channels)

    def loss(self, feature_maps: Sequence[Tensor], pixel: Tensor, depth: Tensor, visible: Tensor,
             input_shape: Sequence[int], surroundings: Tensor | None = None,
             occupancy: Tensor | None = None) -> dict[str, Tensor]:
        """As ``DepthRegressionHead.loss``, with the losses of surface and cells, summed over the levels, beside it.

        Args:
            feature_maps: (I, C, h, w) of each level.
            pixel: (I, N, 2) as (u, v) in the network's input image.
            depth: (I, N) in metres.
            visible: (I, N) bool.
            input_shape: Height and width of that image.
            surroundings: (I, K, 3) of ``DescribeSurroundings``, of the first K points; NaN is not learned.
            occupancy: (I, K, S * 26) bool of ``DescribeOccupancy``, likewise, left and right as the image shows them.

        Returns:
            ``loss`` and ``abs_rel`` of depth, ``loss_surface``, and ``loss_occupancy`` unless its weight is 0.

        Raises:
            ConfigError: The frames lack what the pipeline should tell of them, or have cells of other sizes.
        """
        losses = super().loss(feature_maps, pixel, depth, visible, input_shape)
        place = pixel, visible, input_shape
        losses['loss_surface'] = self._surface_loss(feature_maps, *place, surroundings)
        if self.occupancy_weight:
            losses['loss_occupancy'] = self._occupancy_loss(feature_maps, *place, occupancy)
        return losses

    def _surface_loss(self, feature_maps: Sequence[Tensor], pixel: Tensor, visible: Tensor, input_shape: Sequence[int],
                      surroundings: Tensor | None) -> Tensor:
        """Sum over levels and targets of their mean errors."""
        if surroundings is None:
            raise ConfigError('GeometryHead: the frames have no surroundings; put '
                              "dict(type='DescribeSurroundings') behind SamplePoints in the pipeline")
        described = surroundings.shape[1]
        pixel, known = pixel[:, :described], visible[:, :described, None] & surroundings.isfinite()
        target = surroundings.where(known, 0)
        count = known.sum((0, 1)).clamp(min=1)
        total = 0
        for layer, feature_map in zip(self.surface_layers, feature_maps):
            error = sample_features(layer(feature_map), pixel, input_shape) - target
            total = total + ((error * known).abs().sum((0, 1)) / count).sum()
        return self.loss_weight * self.surface_weight * total

    def _occupancy_loss(self, feature_maps: Sequence[Tensor], pixel: Tensor, visible: Tensor,
                        input_shape: Sequence[int], occupancy: Tensor | None) -> Tensor:
        """Sum over levels of the mean cross-entropy over points and cells."""
        if occupancy is None:
            raise ConfigError("GeometryHead: the frames have no occupancy; put dict(type='DescribeOccupancy') behind "
                              'SamplePoints in the pipeline, or set occupancy_weight=0')
        if occupancy.shape[-1] != self.num_sizes * NUM_CELLS:
            raise ConfigError(f'GeometryHead: num_sizes={self.num_sizes}, but DescribeOccupancy has cells of '
                              f'{occupancy.shape[-1] // NUM_CELLS} sizes; give both the same number')
        described = occupancy.shape[1]
        pixel, visible = pixel[:, :described], visible[:, :described]
        count = visible.sum().clamp(min=1) * occupancy.shape[-1]
        total = 0
        for layer, feature_map in zip(self.occupancy_layers, feature_maps):
            logits = sample_features(layer(feature_map), pixel, input_shape)
            entropy = F.binary_cross_entropy_with_logits(logits, occupancy.to(logits.dtype), reduction='none')
            total = total + (entropy * visible[..., None]).sum() / count
        return self.loss_weight * self.occupancy_weight * total
