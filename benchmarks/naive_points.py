"""The unoptimised point operations and encoder that benchmarks and tests compare with.

``mmdet3d_on_cpu`` lets mmdet3d's own PointNet2SAMSG run on CPU, on straightforward torch versions
of the mmcv operations that have no CPU implementation.
"""
from contextlib import ExitStack, contextmanager
from unittest import mock

import torch
from mmdet3d.models.backbones import PointNet2SAMSG

from simipu.models.point_encoders import PointFeatures


def ball_query(min_radius, max_radius, num_samples, points, centers):
    """All pairs, then a partial sort for the first rows; (B, M, K) long."""
    return torch.stack([_ball_query(min_radius**2, max_radius**2, num_samples, *clouds)
                        for clouds in zip(points, centers)])


def _ball_query(low, high, num_samples, points, centers):
    squared = sum((centers[:, None, axis] - points[None, :, axis]).square() for axis in range(3))
    outside = (squared != 0) & ((squared < low) | (squared >= high))
    rows = torch.arange(len(points), dtype=torch.int32, device=points.device).expand(len(centers), -1)
    rows = rows.masked_fill(outside, len(points))
    rows = torch.nn.functional.pad(rows, (0, num_samples), value=len(points))
    rows = rows.topk(num_samples, largest=False, sorted=True)[0].long()
    rows = torch.where(rows == len(points), rows[:, :1], rows)
    return rows.masked_fill(rows == len(points), 0)


def furthest_point_sample(points, num_points):
    """One full pass over the points per sample; (B, M) long."""
    return _furthest(points, num_points, lambda cloud, row: (cloud - cloud[row]).square().sum(-1))


def furthest_point_sample_with_dist(distances, num_points):
    """The same for (B, N, N) distances."""
    return _furthest(distances, num_points, lambda matrix, row: matrix[row])


def _furthest(batch, num_points, distances_to):
    taken = torch.zeros(len(batch), num_points, dtype=torch.long, device=batch.device)
    for cloud, rows in zip(batch, taken):
        nearest = cloud.new_full((len(cloud), ), 1e10)
        for step in range(1, num_points):
            nearest = torch.minimum(nearest, distances_to(cloud, rows[step - 1]))
            rows[step] = nearest.argmax()
    return taken


def group_points(features, rows):
    """(B, C, M, K) copies of (B, C, N) features."""
    batch = torch.arange(len(rows), device=rows.device)[:, None, None]
    return features.transpose(1, 2)[batch, rows.long()].permute(0, 3, 1, 2)


def gather_points(features, rows):
    """(B, C, M) copies of (B, C, N) features."""
    return group_points(features, rows[..., None]).squeeze(-1)


@contextmanager
def mmdet3d_on_cpu():
    """Inside, mmdet3d's PointNet++ modules use the operations of this file."""
    sampler, groups = 'mmcv.ops.points_sampler.', 'mmcv.ops.group_points.'
    replaced = {
        sampler + 'furthest_point_sample': furthest_point_sample,
        sampler + 'furthest_point_sample_with_dist': furthest_point_sample_with_dist,
        groups + 'ball_query': ball_query,
        groups + 'grouping_operation': group_points,
        'mmdet3d.models.layers.pointnet_modules.point_sa_module.gather_points': gather_points,
    }
    with ExitStack() as stack:
        for name, function in replaced.items():
            stack.enter_context(mock.patch(name, function))
        yield


class NaiveEncoder(PointNet2SAMSG):
    """mmdet3d's modules on the operations of this file, with the interface of ours.

    Args:
        use_xyz: As in ``PointNet2Encoder``.
        kwargs: As ``PointNet2SAMSG``.

    Attributes:
        samplings (list): What the calls to come are to sample, one after another:
            ``PointFeatures.sampling`` of the encoder that this one is compared with. Features that
            differ by rounding may lead F-FPS to other points. When empty, it samples by itself.
    """

    def __init__(self, in_channels, use_xyz=False, **kwargs):
        sa_cfg = dict(type='PointSAModuleMSG', pool_mod='max', use_xyz=use_xyz, normalize_xyz=False)
        super().__init__(in_channels, sa_cfg=sa_cfg, **kwargs)
        self.samplings = []
        # torch's batch norm on CPU is 500 times less exact where channels come last in memory.
        for norm in self.modules():
            if isinstance(norm, torch.nn.BatchNorm2d):
                norm.register_forward_pre_hook(lambda module, inputs: (inputs[0].contiguous(), ))

    def forward(self, points, sampling=None):
        sampling = self.samplings.pop(0) if self.samplings else [None] * len(self.SA_modules)
        taken = []
        xyz, features = self._split_point_feats(points)
        indices = torch.arange(points.shape[1], device=points.device).expand(points.shape[:2])
        with mmdet3d_on_cpu():
            for rows, abstraction, aggregation in zip(sampling, self.SA_modules,
                                                      self.aggregation_mlps):
                # As points: the original refuses other numbers of indices than FS's half.
                centers = None if rows is None else gather_points(
                    xyz.transpose(1, 2), rows).transpose(1, 2)
                xyz, features, own_rows = abstraction(xyz, features, target_xyz=centers)
                rows = own_rows if rows is None else rows
                features = features if aggregation is None else aggregation(features)
                indices = indices.gather(1, rows)
                taken.append(rows)
        return PointFeatures(xyz, features.transpose(1, 2), indices, tuple(taken))
