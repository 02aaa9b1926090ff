"""Time and memory of the CPU point operations at the paper's first level, beside naive versions.

OMP_NUM_THREADS=1 python benchmarks/point_ops.py
"""
import argparse

import naive_points
import torch
from lidar_like import lidar_like_clouds
from measuring import compare, print_versions

from simipu import ops

SHELLS, NUM_SAMPLES = [(0, 0.2), (0.2, 0.4), (0.4, 0.8)], [32, 32, 64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument('--batch', type=int, default=2)
    parser.add_argument('--num-points', type=int, default=16384)
    parser.add_argument('--num-centers', type=int, default=4096)
    parser.add_argument('--channels', type=int, default=128)
    args = parser.parse_args()
    print_versions()

    points = lidar_like_clouds(args.batch, args.num_points)[..., :3].contiguous()
    compare('furthest point sampling',
            lambda: ops.furthest_point_sample(points, args.num_centers),
            lambda: naive_points.furthest_point_sample(points, args.num_centers))

    rows = ops.furthest_point_sample(points, args.num_centers)
    centers = ops.gather_points(points.transpose(1, 2), rows).transpose(1, 2).contiguous()
    compare('ball query, 3 shells',
            lambda: ops.multi_ball_query(SHELLS, NUM_SAMPLES, points, centers),
            lambda: [naive_points.ball_query(low, high, count, points, centers)
                     for (low, high), count in zip(SHELLS, NUM_SAMPLES)])

    grouped = ops.multi_ball_query(SHELLS, NUM_SAMPLES, points, centers)[-1]
    features = torch.randn(args.batch, args.channels, args.num_points, requires_grad=True)
    by_row = features.detach().transpose(1, 2).flatten(0, 1).contiguous().requires_grad_()
    first_rows = args.num_points * torch.arange(args.batch)[:, None, None]
    flat_rows = (grouped + first_rows).flatten(0, 1)
    compare('group and max-pool, with backward',
            lambda: ops.gather_max(by_row, flat_rows).sum().backward(),
            lambda: naive_points.group_points(features, grouped).max(-1)[0].sum().backward())


if __name__ == '__main__':
    main()
