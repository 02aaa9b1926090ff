"""Matchers: time, share of true pairs, distance within pairs, on two views that are sampled independently.

    OMP_NUM_THREADS=1 python benchmarks/matchers.py [--data-root data/kitti]

A pair is true where both points are the same point of the cloud; printed are the share of true pairs among
the pairs, their number in relation to the sampled points, and distances within pairs, all for one frame.

Points are sampled as the model does it, from the cloud and from its transformed and shuffled copy: by
furthest points only (SparseConvEncoder), and by PointNet2Encoder, which on its last levels also samples by
features. The exact index matcher takes the sample of the first view for the second as well.
"""
import argparse
from typing import NamedTuple

import numpy as np
import torch
from frames import Batch, kitti_batch, made_up_batch, shuffle_points
from measuring import measure, print_versions
from point_encoder import PAPER
from torch import Tensor

from simipu.geometry import transform_points
from simipu.models.matchers import HungarianMatcher, IndexMatcher, MutualNearestMatcher
from simipu.models.point_encoders import PointNet2Encoder
from simipu.ops import furthest_point_sample

MATCHERS = {
    'Hungarian': HungarianMatcher(),
    'Hungarian, max_distance=1': HungarianMatcher(max_distance=1.0),
    'Hungarian, max_distance=0.5': HungarianMatcher(max_distance=0.5),
    'mutual nearest': MutualNearestMatcher(),
    'mutual nearest, max_distance=1': MutualNearestMatcher(max_distance=1.0),
    'exact index': IndexMatcher(),
}


class View(NamedTuple):
    """M sampled points: (B, M, 3) in the first view's coordinates, (B, M) rows in its cloud."""
    xyz: Tensor
    rows: Tensor


def furthest_points(num_points: int):
    return lambda clouds: furthest_point_sample(clouds[..., :3], num_points)


def by_point_encoder(num_points: int):
    """The paper's encoder with random weights; its last level samples half by features."""
    torch.manual_seed(0)
    levels = (*PAPER['num_points'][:2], (num_points // 2, num_points // 2))
    encoder = PointNet2Encoder(4, **dict(PAPER, num_points=levels))
    return lambda clouds: encoder(clouds).indices


@torch.no_grad()
def sampled_views(batch: Batch, sample) -> tuple[View, View, View]:
    """Of the first view, of the second, and of the second by the first one's rows."""
    inputs, samples = batch
    matrices = torch.stack([torch.from_numpy(frame.lidar_aug_matrix) for frame in samples])
    back = matrices.inverse().float()
    first_rows = sample(inputs['points'])
    shuffled, rows_before = shuffle_points(inputs['points_aug'])
    second_rows = rows_before.gather(1, sample(shuffled))

    def view(clouds, rows):
        return clouds[..., :3].gather(1, rows[..., None].expand(-1, -1, 3))

    return (View(view(inputs['points'], first_rows), first_rows),
            *(View(transform_points(view(inputs['points_aug'], rows), back), rows)
              for rows in (second_rows, first_rows)))


def shared_share(first: View, second: View) -> float:
    """Share of the first view's points that the second one has too: what a perfect matcher finds."""
    return sum(torch.isin(*rows).float().mean().item()
               for rows in zip(first.rows, second.rows)) / len(first.rows)


def print_matcher(name: str, first: View, second: View) -> None:
    matcher = MATCHERS[name]
    cost = measure(lambda: matcher(first.xyz, second.xyz), repeats=5)
    batch, index_a, index_b = matcher(first.xyz, second.xyz)
    true = first.rows[batch, index_a] == second.rows[batch, index_b]
    apart = (first.xyz[batch, index_a] - second.xyz[batch, index_b]).norm(dim=-1)
    print(f'  {name:32s} {cost.seconds * 1e3 / len(first.xyz):8.1f} ms {len(batch) / len(first.xyz):7.0f} '
          f'{true.float().mean():9.1%} {true.sum() / first.rows.numel():9.1%} {apart.mean():8.3f} m '
          f'{(apart > 1).float().mean():9.1%} {apart.max():6.1f} m')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data-root', help='folder of KITTI; made-up frames without it')
    parser.add_argument('--num-frames', type=int, default=4)
    args = parser.parse_args()
    print_versions()
    torch.manual_seed(0)
    np.random.seed(0)
    batch = (kitti_batch(args.data_root, args.num_frames, 16384) if args.data_root else
             made_up_batch(args.num_frames, 16384))
    for name, sampler in (('furthest points', furthest_points), ('PointNet2Encoder', by_point_encoder)):
        for num_points in (512, 1024):
            first, second, same = sampled_views(batch, sampler(num_points))
            print(f'{num_points} points by {name}, {len(first.xyz)} frames; '
                  f'{shared_share(first, second):.1%} of the points are in both samples')
            print(f'  {"":32s} {"time":>11s} {"pairs":>7s} {"true":>9s} {"of points":>9s} '
                  f'{"distance":>10s} {"over 1 m":>9s} {"longest":>8s}')
            for matcher in MATCHERS:
                print_matcher(matcher, first, same if matcher == 'exact index' else second)


if __name__ == '__main__':
    main()
