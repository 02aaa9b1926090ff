"""PointNet++ set abstraction that runs on every device and does no arithmetic twice."""
from collections.abc import Sequence
from typing import NamedTuple

import torch
from mmdet3d.models.layers.pointnet_modules import PointSAModuleMSG
from mmdet3d.models.layers.pointnet_modules.builder import SA_MODULES
from torch import Tensor, nn
from torch.nn.functional import linear
from torch.nn.modules.batchnorm import _BatchNorm

from ...errors import ConfigError
from ...ops import gather_max, gather_points, multi_ball_query, sample_points, weighted_batch_norm_relu


class _Pairs(NamedTuple):
    """Distinct (point, centre) pairs of a grouping.

    Attributes:
        points (Tensor): (P,) long, source point of each pair.
        centers (Tensor): (P,) long, group of each pair.
        weights (Tensor): (P,) long, how many members of the group the pair stands for.
        groups (Tensor): (G, K) long, the pairs of each group.
    """
    points: Tensor
    centers: Tensor
    weights: Tensor
    groups: Tensor


@SA_MODULES.register_module()
class PortableSAModuleMSG(PointSAModuleMSG):
    """mmdet3d's ``PointSAModuleMSG`` with the same weights and results, on CPU and CUDA.

    Where the original copies every source point into every group it belongs to and runs the shared
    MLP on all copies, this module runs it once on each distinct input and pools by row:

    - ``use_xyz=False``: an input is a source point, whatever group it is in;
    - ``use_xyz=True``: an input is a (point, centre) pair without the copies that fill up short
      groups; the part of the first layer that sees features only is computed per point.

    Batch normalisation weights each row by the number of its copies, so statistics, outputs and
    gradients equal the original's up to rounding.

    Args: those of ``PointSAModuleMSG`` but ``pool_mod`` and ``normalize_xyz``: pools by the maximum, and
    offsets are in metres. ``num_point`` is required and ``norm_cfg`` must be a batch normalisation ('BN2d' or
    'SyncBN').

    Raises:
        ConfigError: ``num_point`` is None, or ``norm_cfg`` is not a batch normalisation.
    """

    def __init__(self, num_point: int, radii: Sequence[float], sample_nums: Sequence[int],
                 mlp_channels: Sequence[Sequence[int]], fps_mod: Sequence[str] = ('D-FPS', ),
                 fps_sample_range_list: Sequence[int] = (-1, ), dilated_group: bool = False,
                 norm_cfg: dict = dict(type='BN2d'), use_xyz: bool = True, bias: bool | str = 'auto') -> None:
        if num_point is None:
            raise ConfigError('PortableSAModuleMSG needs num_point: grouping all points into one '
                              'group is not supported')
        super().__init__(num_point, radii, sample_nums, mlp_channels, fps_mod, fps_sample_range_list,
                         dilated_group, norm_cfg, use_xyz, bias=bias)
        for mlp in self.mlps:
            for layer in mlp:
                if not (layer.with_norm and isinstance(layer.norm, _BatchNorm)):
                    raise ConfigError("PortableSAModuleMSG needs batch normalisation, "
                                      "norm_cfg=dict(type='BN2d') or 'SyncBN', after every layer")

    def forward(self, points_xyz: Tensor, features: Tensor | None = None,
                indices: Tensor | None = None, target_xyz: Tensor | None = None
                ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Samples centres, groups points around them and pools their features.

        Args:
            points_xyz (Tensor): (B, N, 3) coordinates.
            features (Tensor, optional): (B, C, N) features.
            indices (Tensor, optional): (B, M) rows to use as centres instead of sampling.
            target_xyz (Tensor, optional): (B, M, 3) centres to use instead of sampling.

        Returns:
            tuple: (B, M, 3) centres, (B, C_out, M) features, (B, M) long rows of the centres (None
            if ``target_xyz`` was given).
        """
        centers, indices = self._sample_points(points_xyz, features, indices, target_xyz)
        grouped_rows = multi_ball_query([(g.min_radius, g.max_radius) for g in self.groupers],
                                        [g.sample_num for g in self.groupers], points_xyz, centers)
        flat_features = None if features is None else features.transpose(1, 2).flatten(0, 1)
        pooled = []
        for grouper, mlp, rows in zip(self.groupers, self.mlps, grouped_rows):
            abstract = self._abstract_pairs if grouper.use_xyz else self._abstract_points
            values = abstract(mlp, _flat_rows(rows, points_xyz.shape[1]),
                              points_xyz.flatten(0, 1), centers.flatten(0, 1), flat_features)
            pooled.append(values.unflatten(0, rows.shape[:2]))
        # Transposed only in name: the next level and the aggregation work on rows again.
        return centers, torch.cat(pooled, dim=2).transpose(1, 2), indices

    def _sample_points(self, points_xyz: Tensor, features: Tensor | None,
                       indices: Tensor | None, target_xyz: Tensor | None
                       ) -> tuple[Tensor, Tensor | None]:
        if indices is None and target_xyz is not None:
            return target_xyz, None
        if indices is None:
            indices = sample_points(points_xyz, features, self.num_point, self.fps_mod_list,
                                    self.fps_sample_range_list)
        return gather_points(points_xyz.transpose(1, 2), indices).transpose(1, 2), indices

    def _abstract_points(self, mlp: nn.Sequential, groups: Tensor, xyz: Tensor, centers: Tensor,
                         features: Tensor | None) -> Tensor:
        """Pooled features where the shared MLP sees features only: one row per source point."""
        rows = groups.flatten()
        weights = rows.new_zeros(len(xyz)).index_add_(0, rows, torch.ones_like(rows))
        if not _keeps_unused(groups):
            features, weights, groups = _without_unused(features, weights, groups)
        conv = mlp[0].conv
        first = linear(features, conv.weight.flatten(1), conv.bias)
        return gather_max(_shared_mlp(mlp, first, weights), groups)

    def _abstract_pairs(self, mlp: nn.Sequential, groups: Tensor, xyz: Tensor, centers: Tensor,
                        features: Tensor | None) -> Tensor:
        """Pooled features where the shared MLP also sees offsets: one row per pair."""
        pairs = _distinct_pairs(groups)
        offsets = xyz[pairs.points] - centers[pairs.centers]
        weight, bias = mlp[0].conv.weight.flatten(1), mlp[0].conv.bias
        first = linear(offsets, weight[:, :3], bias)
        if features is not None:
            first = first + linear(features, weight[:, 3:])[pairs.points]
        return gather_max(_shared_mlp(mlp, first, pairs.weights), pairs.groups)


def _flat_rows(rows: Tensor, num_points: int) -> Tensor:
    """(B * M, K) rows of the batch's clouds laid end to end, from (B, M, K) rows of each cloud."""
    first = torch.arange(len(rows), device=rows.device) * num_points
    return (rows + first[:, None, None]).flatten(0, 1)


def _distinct_pairs(groups: Tensor) -> _Pairs:
    """Drops from (G, K) groups the copies of the first member that ball query fills up with.

    Where ``_keeps_unused`` they stay, with weight 0.
    """
    distinct = groups != groups[:, :1]
    distinct[:, 0] = True
    weights = distinct.long()
    weights[:, 0] += groups.shape[1] - weights.sum(1)
    centers = torch.arange(len(groups), device=groups.device)[:, None].expand_as(groups)
    if _keeps_unused(groups):
        position = torch.arange(groups.numel(), device=groups.device).view_as(groups)
        pairs = [value.flatten() for value in (groups, centers, weights)]
    else:
        position = distinct.flatten().cumsum(0).unflatten(0, groups.shape) - 1
        pairs = [value[distinct] for value in (groups, centers, weights)]
    return _Pairs(*pairs, torch.where(distinct, position, position[:, :1]))


def _without_unused(features: Tensor, weights: Tensor, groups: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Drops the rows (R, C) that are in no group, those of weight 0; groups then hold rows of what is left."""
    used = weights.nonzero()[:, 0]
    place = torch.empty_like(weights)
    place[used] = torch.arange(len(used), device=used.device)
    return features.index_select(0, used), weights[used], place[groups]


def _keeps_unused(groups: Tensor) -> bool:
    """On a GPU rows of weight 0 are computed: the host need not wait to know how many others there are."""
    return groups.is_cuda


def _shared_mlp(mlp: nn.Sequential, first: Tensor, weights: Tensor) -> Tensor:
    """Applies ``mlp`` to rows that stand for ``weights`` group members each.

    ``first`` is (R, C): the first layer's convolution, already applied.
    """
    values = weighted_batch_norm_relu(first, weights, mlp[0].norm)
    for layer in mlp[1:]:
        values = linear(values, layer.conv.weight.flatten(1), layer.conv.bias)
        values = weighted_batch_norm_relu(values, weights, layer.norm)
    return values
