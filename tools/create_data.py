"""Write the info files that PairedDataset reads, from a data set on disk or a generated one."""
import argparse
import sys

from simipu.datasets import DataError
from simipu.datasets.converters import create_kitti_infos


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest='dataset', required=True)
    for add_command in (add_kitti, add_synthetic):
        add_command(commands)
    return parser.parse_args()


def add_kitti(commands) -> None:
    parser = commands.add_parser('kitti', help='KITTI object data set, or any folder in its layout')
    parser.add_argument('--root-path', required=True, help='folder with training/ and ImageSets/')
    parser.add_argument('--splits', nargs='+', help='names of lists in ImageSets/, or paths of '
                        'list files (default: all lists in ImageSets/)')
    parser.add_argument('--clouds', choices=['velodyne', 'velodyne_reduced'],
                        help='which point clouds (default: the first of these that exists)')
    add_common_arguments(parser)
    parser.set_defaults(run=create_kitti)


def add_synthetic(commands) -> None:
    parser = commands.add_parser('synthetic', help='generated scenes in KITTI\'s layout')
    parser.add_argument('--num-frames', type=int, required=True)
    parser.add_argument('--seed', type=int, default=0, help='the same seed gives the same files')
    parser.add_argument('--image-size', type=int, nargs=2, default=(384, 128), metavar=('W', 'H'))
    add_common_arguments(parser)
    parser.set_defaults(run=create_synthetic)


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--out-dir', required=True, help='where to write; made if need be')
    parser.add_argument('--num-workers', type=int,
                        help='number of processes (default: one for each available core)')


def create_kitti(args: argparse.Namespace) -> None:
    report(create_kitti_infos(args.root_path, args.out_dir, args.splits, args.clouds,
                              args.num_workers))


def create_synthetic(args: argparse.Namespace) -> None:
    # Here, since it compiles: the other commands need not wait for that.
    from simipu.datasets.synthetic import generate_dataset
    try:
        generate_dataset(args.out_dir, args.num_frames, args.seed,
                         image_size=tuple(args.image_size), num_workers=args.num_workers)
    except (FileExistsError, ValueError) as error:
        raise DataError(str(error)) from error
    report(create_kitti_infos(args.out_dir, args.out_dir, num_workers=args.num_workers))


def report(written: list) -> None:
    for split in written:
        print(f'{split.info_file}: {split.num_frames} frames, clouds from {split.clouds}')


def main() -> None:
    args = parse_args()
    try:
        args.run(args)
    except DataError as error:
        sys.exit(f'\nerror: {error}')


if __name__ == '__main__':
    main()
