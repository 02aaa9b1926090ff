"""Time and memory of the point encoders beside mmdet3d's PointNet++ on naive operations, on CPU.

    OMP_NUM_THREADS=1 python benchmarks/point_encoder.py

The naive encoder at the paper's sizes needs 5 GB of memory; --skip-naive leaves it out.
"""
import argparse

import torch
from lidar_like import lidar_like_clouds
from measuring import compare, measure, print_cost, print_versions
from naive_points import NaiveEncoder

from simipu.models.point_encoders import PointNet2Encoder, SparseConvEncoder

PAPER = dict(
    num_points=(4096, 1024, (512, 512)),
    radii=((0.2, 0.4, 0.8), (0.4, 0.8, 1.6), (1.6, 3.2, 4.8)),
    num_samples=((32, 32, 64), (32, 32, 64), (16, 16, 16)),
    sa_channels=(((32, 32, 64), (32, 32, 64), (64, 64, 128)),
                 ((64, 64, 128), (64, 64, 128), (128, 128, 256)),
                 ((128, 128, 256), (128, 128, 256), (256, 256, 512))),
    aggregation_channels=(128, 256, 1024),
    fps_mods=('D-FPS', 'FS', ('F-FPS', 'D-FPS')),
    fps_sample_range_lists=(-1, -1, (512, -1)),
    norm_cfg=dict(type='BN2d', eps=1e-3, momentum=0.1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument('--batch', type=int, default=2)
    parser.add_argument('--num-points', type=int, default=16384)
    parser.add_argument('--skip-naive', action='store_true')
    args = parser.parse_args()
    print_versions()
    points = lidar_like_clouds(args.batch, args.num_points)
    for use_xyz in (False, True):
        ours = PointNet2Encoder(4, use_xyz=use_xyz, **PAPER)
        naive = NaiveEncoder(4, use_xyz=use_xyz, **PAPER)
        for kind, run in (('forward', forward), ('forward + backward', forward_backward)):
            name = f'use_xyz={use_xyz}, {kind}'
            if args.skip_naive:
                print_cost(name, measure(lambda: run(ours, points)))
            else:
                compare(name, lambda: run(ours, points), lambda: run(naive, points))
    sparse = SparseConvEncoder(4)
    for num_points in (args.num_points, 100_000):
        points = lidar_like_clouds(args.batch, num_points)
        name = f'sparse, {num_points} points'
        print_cost(f'{name}, forward', measure(lambda: forward(sparse, points)))
        print_cost(f'{name}, forward + backward', measure(lambda: forward_backward(sparse, points)))


@torch.no_grad()
def forward(encoder, points):
    return encoder(points).features


def forward_backward(encoder, points):
    encoder(points).features.sum().backward()


if __name__ == '__main__':
    main()
