"""The paper's point encoder: PointNet++ with multi-scale grouping."""
from collections.abc import Sequence

import torch
from mmcv.cnn import ConvModule
from mmdet3d.models.backbones import PointNet2SAMSG
from mmdet3d.registry import MODELS
from torch import Tensor
from torch.nn.functional import linear

from ...errors import ConfigError
from ...ops import weighted_batch_norm_relu
from .base import PointFeatures, check_points


@MODELS.register_module()
class PointNet2Encoder(PointNet2SAMSG):
    """mmdet3d's ``PointNet2SAMSG`` on every device, returning the points of its last level.

    Same weights, state-dict keys and features as ``PointNet2SAMSG``. The defaults are the paper's
    encoder (SimIPU, with the settings of its released code).

    Args:
        in_channels (int): channels of a point, 3 + D.
        num_points (Sequence): points each level samples; a tuple gives one number per entry of its
            ``fps_mods``. 'FS' doubles its number.
        radii (Sequence[tuple]): ball radii of each level, in metres; a ball leaves out the next smaller one.
        num_samples (Sequence[tuple]): members of each ball.
        sa_channels (Sequence[tuple[tuple]]): widths of the shared MLP of each ball.
        aggregation_channels (Sequence[int], optional): width of the 1x1 convolution that joins the
            balls of a level; None joins by concatenation only.
        fps_mods (Sequence): sampling methods of each level: 'D-FPS', 'F-FPS', 'FS', or a tuple.
        fps_sample_range_lists (Sequence): the range of rows of each method, see
            ``simipu.ops.sample_points``.
        norm_cfg (dict): batch normalisation of the shared MLPs.
        use_xyz (bool): whether the shared MLPs see a point's offset from the centre.
        init_cfg (dict, optional): initialisation.

    Raises:
        ConfigError: the settings leave the first level without any input channel.
    """

    def __init__(self,
                 in_channels: int = 4,
                 num_points: Sequence = (4096, 1024, (512, 512)),
                 radii: Sequence[tuple] = ((0.2, 0.4, 0.8), (0.4, 0.8, 1.6), (1.6, 3.2, 4.8)),
                 num_samples: Sequence[tuple] = ((32, 32, 64), (32, 32, 64), (16, 16, 16)),
                 sa_channels: Sequence[tuple] = (((32, 32, 64), (32, 32, 64), (64, 64, 128)),
                                                 ((64, 64, 128), (64, 64, 128), (128, 128, 256)),
                                                 ((128, 128, 256), (128, 128, 256),
                                                  (256, 256, 512))),
                 aggregation_channels: Sequence[int] | None = (128, 256, 1024),
                 fps_mods: Sequence = ('D-FPS', 'FS', ('F-FPS', 'D-FPS')),
                 fps_sample_range_lists: Sequence = (-1, -1, (512, -1)),
                 norm_cfg: dict = dict(type='BN2d', eps=1e-3, momentum=0.1),
                 use_xyz: bool = False,
                 init_cfg: dict | None = None) -> None:
        if in_channels == 3 and not use_xyz:
            raise ConfigError('points of 3 channels have no features: set use_xyz=True or give the '
                              'points more channels (in_channels > 3)')
        num_levels = len(sa_channels)
        super().__init__(
            in_channels,
            num_points=num_points,
            radii=radii,
            num_samples=num_samples,
            sa_channels=sa_channels,
            aggregation_channels=aggregation_channels,
            fps_mods=fps_mods,
            fps_sample_range_lists=fps_sample_range_lists,
            dilated_group=(True, ) * num_levels,
            out_indices=(num_levels - 1, ),
            norm_cfg=norm_cfg,
            sa_cfg=dict(type='PortableSAModuleMSG', use_xyz=use_xyz),
            init_cfg=init_cfg)
        self.in_channels = in_channels
        last = self.aggregation_mlps[-1]
        self.out_channels = (last.out_channels if last is not None else
                             sum(widths[-1] for widths in sa_channels[-1]))

    def forward(self, points: Tensor,
                sampling: Sequence[Tensor] | None = None) -> PointFeatures:
        """Features of the last level's points.

        Args:
            points (Tensor): (B, N, in_channels); x, y, z in metres in the LiDAR frame come first.
            sampling (Sequence[Tensor], optional): ``PointFeatures.sampling`` of another view of the
                same clouds; the same rows are then sampled again.

        Returns:
            PointFeatures: M points with ``out_channels`` features.

        Raises:
            ConfigError: ``points`` has not ``in_channels`` channels or no point at all.
        """
        check_points(points, self.in_channels, 'PointNet2Encoder')
        xyz, features = self._split_point_feats(points)
        indices, sampled = None, []
        for level, (abstraction, aggregation) in enumerate(
                zip(self.SA_modules, self.aggregation_mlps)):
            rows = None if sampling is None else sampling[level]
            xyz, features, rows = abstraction(xyz, features, indices=rows)
            if aggregation is not None:
                features = _pointwise(aggregation, features)
            indices = rows if indices is None else torch.gather(indices, 1, rows)
            sampled.append(rows)
        return PointFeatures(xyz, features.transpose(1, 2), indices, tuple(sampled))


def _pointwise(layer: ConvModule, features: Tensor) -> Tensor:
    """``layer(features)`` of (B, C, M) features, for a convolution of width 1 with norm and ReLU.

    By row, as the features of set abstraction lie in memory: torch's convolution copies them.
    """
    rows = linear(features.transpose(1, 2).flatten(0, 1), layer.conv.weight.squeeze(2),
                  layer.conv.bias)
    rows = weighted_batch_norm_relu(rows, rows.new_ones(len(rows)), layer.norm)
    return rows.unflatten(0, (len(features), -1)).transpose(1, 2)
