"""A decoder from the maps of an image backbone to depth."""
from collections.abc import Sequence

import torch
from mmcv.cnn import ConvModule
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.utils import resize
from mmseg.registry import MODELS
from mmseg.utils import SampleList
from torch import Tensor, nn

from ...geometry import MIN_DEPTH


@MODELS.register_module()
class DenseDepthHead(BaseDecodeHead):
    """Decoder in the style of DenseDepth (Alhashim and Wonka, arXiv 1812.11941).

    The coarsest map is reduced to half its channels. Each step then brings it to the size of the
    next finer one, joins the two, and halves the channels in two 3x3 convolutions. A last
    convolution gives the depth, up to ``max_depth`` by a sigmoid. DenseDepth goes on to half
    the image's size; this ends at the finest map given (a quarter, with a ResNet).

    Args:
        in_channels: Of the backbone's maps, finest first.
        max_depth: Largest depth in metres.
        norm_cfg: Of the convolutions.
        loss_decode: Loss of (B, 1, H, W) predicted against measured depth in metres, which is 0 where
            nothing was measured. The default is the scale-invariant log loss (Eigen et al.,
            NeurIPS 2014).
    """

    def __init__(self,
                 in_channels: Sequence[int],
                 max_depth: float,
                 norm_cfg: dict = dict(type='BN'),
                 loss_decode: dict = dict(type='mmseg.SiLogLoss')) -> None:
        widths = [in_channels[-1] // 2**i for i in range(1, len(in_channels) + 1)]
        super().__init__(
            in_channels, widths[-1], num_classes=1, threshold=0.0, dropout_ratio=0.0,
            in_index=list(range(len(in_channels))), input_transform='multiple_select',
            norm_cfg=norm_cfg, loss_decode=loss_decode)
        self.max_depth = max_depth
        self.reduce = nn.Conv2d(in_channels[-1], widths[0], 1)
        self.steps = nn.ModuleList(
            self._step(coarse + skip, width)
            for coarse, skip, width in zip(widths, in_channels[-2::-1], widths[1:]))

    def _step(self, in_channels: int, width: int) -> nn.Sequential:
        settings = dict(kernel_size=3, padding=1, norm_cfg=self.norm_cfg,
                        act_cfg=dict(type='LeakyReLU', negative_slope=0.2))
        return nn.Sequential(ConvModule(in_channels, width, **settings),
                             ConvModule(width, width, **settings))

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Maps (B, C, h, w), finest first -> depth in metres (B, 1, h, w) of the finest size."""
        *skips, x = self._transform_inputs(inputs)
        x = self.reduce(x)
        for step, skip in zip(self.steps, reversed(skips)):
            x = resize(x, skip.shape[2:], mode='bilinear', align_corners=self.align_corners)
            x = step(torch.cat([x, skip], dim=1))
        # In single precision, as logarithms will be taken; which do not exist at 0 either.
        return (self.max_depth * self.cls_seg(x).float().sigmoid()).clamp(min=MIN_DEPTH)

    def loss_by_feat(self, depth: Tensor, batch_data_samples: SampleList) -> dict:
        """Loss of depth (B, 1, h, w) against the samples' ``gt_depth_map`` (1, H, W), at that size."""
        target = torch.stack([sample.gt_depth_map.data for sample in batch_data_samples])
        depth = resize(depth, target.shape[2:], mode='bilinear', align_corners=self.align_corners)
        return {self.loss_decode.loss_name: self.loss_decode(depth, target)}
