"""A point encoder of sparse 3D convolutions, linear in the number of points."""
from collections.abc import Sequence

import torch
from mmdet3d.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from ...errors import DataError
from ...ops import furthest_point_sample
from .base import PointFeatures, check_points
from .spconv_library import check_installed, spconv, use_best_algorithm


@MODELS.register_module()
class SparseConvEncoder(BaseModule):
    """Sub-manifold convolutions on voxels; each sampled point reads the voxels that contain it.

    Level 0 has the given voxels, each further level voxels twice as wide. A level is two
    sub-manifold 3x3x3 convolutions, after a 2x2x2 convolution of stride 2 from the level before.
    A sampled point's features are those of its voxel on every level, joined by a linear layer.
    A voxel starts as the mean over its points of their offset from its centre (in voxels) and of
    their further channels.

    Runs on CPU and CUDA with any build of spconv, or with spconv-triton; weights fit all of them, and results are the
    same but for rounding.

    Args:
        in_channels (int): channels of a point, 3 + D.
        num_points (int): M, points to sample from each cloud by furthest point sampling.
        voxel_size (float): edge of a level-0 voxel, in metres.
        channels (Sequence[int]): width of each level.
        out_channels (int): width of the result.
        init_cfg (dict, optional): initialisation.

    Raises:
        DependencyError: Neither spconv nor spconv-triton is installed.
    """

    def __init__(self,
                 in_channels: int = 4,
                 num_points: int = 1024,
                 voxel_size: float = 0.2,
                 channels: Sequence[int] = (32, 64, 128, 128),
                 out_channels: int = 256,
                 init_cfg: dict | None = None) -> None:
        check_installed('SparseConvEncoder')
        super().__init__(init_cfg)
        self.in_channels = in_channels
        self.num_points = num_points
        self.voxel_size = voxel_size
        self.out_channels = out_channels
        self.levels = nn.ModuleList()
        for level, width in enumerate(channels):
            before = channels[level - 1] if level else in_channels
            layers = [] if level == 0 else _down(before, width)
            layers += _same_voxels(before if level == 0 else width, width, f'level{level}')
            layers += _same_voxels(width, width, f'level{level}')
            self.levels.append(spconv.SparseSequential(*layers))
        self.join = nn.Sequential(nn.Linear(sum(channels), out_channels, bias=False),
                                  nn.BatchNorm1d(out_channels), nn.ReLU(inplace=True))

    def forward(self, points: Tensor,
                sampling: Sequence[Tensor] | None = None) -> PointFeatures:
        """Features of sampled points.

        Args:
            points (Tensor): (B, N, in_channels); x, y, z in metres in the LiDAR frame come first.
            sampling (Sequence[Tensor], optional): ``PointFeatures.sampling`` of another view of the
                same clouds; the same rows are then sampled again.

        Returns:
            PointFeatures: M points with ``out_channels`` features.

        Raises:
            ConfigError: ``points`` has not ``in_channels`` channels or no point at all.
            DataError: Some coordinates are not finite.
            DependencyError: The installed spconv does not compute where ``points`` are.
        """
        check_points(points, self.in_channels, 'SparseConvEncoder')
        use_best_algorithm(self.levels, points)
        xyz = points[..., :3].contiguous()
        rows = sampling[0] if sampling else furthest_point_sample(xyz, self.num_points)
        with torch.autocast(points.device.type, enabled=_is_float16(points)):
            voxels, cells = self._voxelize(points)
            sampled_cells = cells.gather(1, rows[..., None].expand(-1, -1, 4)).flatten(0, 1)
            joined = []
            for level, convolutions in enumerate(self.levels):
                voxels = convolutions(voxels)
                joined.append(_features_at(voxels, _coarsen(sampled_cells, level)))
            features = self.join(torch.cat(joined, dim=1)).unflatten(0, rows.shape)
        sampled_xyz = xyz.gather(1, rows[..., None].expand(-1, -1, 3))
        return PointFeatures(sampled_xyz, features, rows, (rows, ))

    def _voxelize(self, points: Tensor) -> tuple['spconv.SparseConvTensor', Tensor]:
        """Mean features of the occupied voxels, and (B, N, 4) batch index and cell of each point.

        Voxel borders of every level lie at multiples of its voxel size, whatever the cloud.
        """
        position = points[..., :3] / self.voxel_size
        cells = position.floor()
        inputs = torch.cat([position - cells - 0.5, points[..., 3:]], dim=2).flatten(0, 1)
        coarsest = 2 ** (len(self.levels) - 1)
        origin = (cells.amin((0, 1)) / coarsest).floor() * coarsest
        cells = (cells - origin).long()
        extent = (cells.amax((0, 1)) // coarsest + 1) * coarsest
        batch = torch.arange(len(points), device=points.device)[:, None, None]
        cells = torch.cat([batch.expand(*cells.shape[:2], 1), cells], dim=2)
        keys = _keys(cells.flatten(0, 1), extent)
        voxel_of_point, num_voxels = _number_distinct(keys)
        finite = torch.isfinite(points).all()
        # All that the host must know, in one synchronisation.
        *shape, num_voxels, finite = torch.cat([extent, torch.stack([num_voxels, finite])]).tolist()
        if not finite:
            raise DataError('points must be finite to be put into voxels, but some are NaN or '
                            'infinite: filter the cloud before the model')
        counted = torch.cat([inputs, torch.ones_like(inputs[:, :1])], dim=1)
        sums = inputs.new_zeros(num_voxels, counted.shape[1]).index_add_(0, voxel_of_point, counted)
        voxel_keys = keys.new_empty(num_voxels).scatter_(0, voxel_of_point, keys)
        voxels = spconv.SparseConvTensor(sums[:, :-1] / sums[:, -1:], _cells(voxel_keys, shape).int(), shape,
                                         len(points))
        return voxels, cells


def _is_float16(points: Tensor) -> bool:
    """Whether mixed precision computes in float16 here.

    spconv has no bfloat16: it fails on a CPU, and on a GPU takes float16, which without a scaled loss loses small
    gradients. It then computes in float32.
    """
    return points.is_cuda and torch.is_autocast_enabled() and torch.get_autocast_gpu_dtype() == torch.float16


def _number_distinct(keys: Tensor) -> tuple[Tensor, Tensor]:
    """Number of each key (K,) among the distinct ones in ascending order, and how many those are, on the device.

    As ``torch.unique``, which would wait for the device to know the size of its result.
    """
    ascending, order = keys.sort()
    number = torch.cat([keys.new_zeros(1), (ascending[1:] != ascending[:-1]).long()]).cumsum(0)
    return torch.empty_like(number).scatter_(0, order, number), number[-1] + 1


def _same_voxels(in_channels: int, out_channels: int, neighbourhood: str) -> list[nn.Module]:
    convolution = spconv.SubMConv3d(in_channels, out_channels, 3, bias=False, indice_key=neighbourhood)
    return [convolution, nn.BatchNorm1d(out_channels), nn.ReLU(inplace=True)]


def _down(in_channels: int, out_channels: int) -> list[nn.Module]:
    convolution = spconv.SparseConv3d(in_channels, out_channels, 2, stride=2, bias=False)
    return [convolution, nn.BatchNorm1d(out_channels), nn.ReLU(inplace=True)]


def _keys(cells: Tensor, shape: Sequence[int] | Tensor) -> Tensor:
    """One number for each (batch, x, y, z) row of ``cells``."""
    batch, x, y, z = cells.long().unbind(1)
    return ((batch * shape[0] + x) * shape[1] + y) * shape[2] + z


def _cells(keys: Tensor, shape: Sequence[int]) -> Tensor:
    """The inverse of ``_keys``."""
    columns = []
    for size in reversed(shape):
        columns.append(keys % size)
        keys = keys // size
    return torch.stack([keys, *reversed(columns)], dim=1)


def _coarsen(cells: Tensor, level: int) -> Tensor:
    return torch.cat([cells[:, :1], cells[:, 1:] >> level], dim=1)


def _features_at(voxels: 'spconv.SparseConvTensor', cells: Tensor) -> Tensor:
    """Features of the voxels at ``cells`` (K, 4), all of which are occupied."""
    keys, order = _keys(voxels.indices, voxels.spatial_shape).sort()
    return voxels.features[order[torch.searchsorted(keys, _keys(cells, voxels.spatial_shape))]]
