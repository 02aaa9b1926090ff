"""Write the info files that PairedDataset reads, from a data set on disk or a generated one."""
from argparse import ArgumentParser, Namespace

from ..config.options import PROCESSES, SEED, share, whole_number
from ..datasets import converters
from ..datasets.converters.own_calibration import CLOUD_FRAMES, UNITS
from ..datasets.converters.splitting import parse_val_scenes
from ..errors import ConfigError


def add_arguments(parser: ArgumentParser) -> None:
    commands = parser.add_subparsers(dest='dataset', required=True)
    for add_command in (add_kitti, add_kitti_raw, add_kitti_odometry, add_nuscenes, add_waymo,
                        add_jsonl, add_synthetic):
        add_command(commands)


def add_kitti(commands) -> None:
    parser = commands.add_parser('kitti', help='KITTI object data set, or any folder in its layout')
    parser.add_argument('--root-path', required=True, help='folder with training/ and ImageSets/')
    parser.add_argument('--splits', nargs='+', help='names of lists in ImageSets/, or paths of '
                        'list files (default: all lists in ImageSets/)')
    parser.add_argument('--clouds', choices=['velodyne', 'velodyne_reduced'],
                        help='which point clouds (default: the first of these that exists)')
    add_every(parser)
    add_common_arguments(parser)
    parser.set_defaults(run=lambda args: converters.create_kitti_infos(
        args.root_path, args.out_dir, args.splits, args.clouds, converters.Subset(args.every),
        args.num_workers))


def add_kitti_raw(commands) -> None:
    parser = commands.add_parser('kitti_raw', help='KITTI raw data (synced), folders by date')
    add_kitti_scenes(parser, 'folder with 2011_09_26/ and the like',
                     converters.create_kitti_raw_infos)


def add_kitti_odometry(commands) -> None:
    parser = commands.add_parser('kitti_odometry', help='KITTI odometry sequences')
    add_kitti_scenes(parser, 'folder with sequences/', converters.create_kitti_odometry_infos)


def add_kitti_scenes(parser: ArgumentParser, root_help: str, create) -> None:
    parser.add_argument('--root-path', required=True, help=root_help)
    parser.add_argument('--cameras', nargs='+', help='left (CAM2), right (CAM3) or both (default: of each drive '
                        'those that have images)')
    parser.add_argument('--val-scenes', nargs='+', default=['0.1'], help='drives or sequences kept for validation: '
                        'a share of them, as 0.1, or their names')
    add_subset(parser)
    parser.set_defaults(run=lambda args: create(
        args.root_path, args.out_dir, args.cameras, parse_val_scenes(args.val_scenes), subset(args),
        args.num_workers))


def add_nuscenes(commands) -> None:
    parser = commands.add_parser('nuscenes', help='nuScenes, up to six cameras')
    parser.add_argument('--root-path', required=True, help='folder with samples/ and v1.0-.../')
    parser.add_argument('--version', default='v1.0-trainval',
                        help='v1.0-mini, v1.0-trainval or v1.0-test')
    parser.add_argument('--cameras', nargs='+', default=converters.nuscenes.CAMERAS,
                        help='which cameras (default: all six)')
    parser.add_argument('--sweeps', type=whole_number(0), default=0, help='take up to so many sweeps between '
                        'two key frames as frames too, with the images nearest in time')
    add_subset(parser)
    parser.set_defaults(run=lambda args: converters.create_nuscenes_infos(
        args.root_path, args.out_dir, args.version, args.cameras, args.sweeps, subset(args),
        args.num_workers))


def add_waymo(commands) -> None:
    parser = commands.add_parser('waymo', help='folders written by mmdet3d\'s Waymo converter')
    parser.add_argument('--root-path', required=True, help='its kitti_format folder')
    parser.add_argument('--cameras', nargs='+', default=converters.waymo.CAMERAS,
                        help='which cameras (default: all five)')
    add_subset(parser)
    parser.set_defaults(run=lambda args: converters.create_waymo_infos(
        args.root_path, args.out_dir, args.cameras, subset(args), args.num_workers))


def add_jsonl(commands) -> None:
    parser = commands.add_parser('jsonl', help='your own data, one frame per line as JSON; see '
                                 'docs/data_format.md')
    parser.add_argument('--frames', required=True, help='file with one frame per line')
    parser.add_argument('--root-path', required=True, help='folder that paths are relative to')
    parser.add_argument('--val-share', type=share, metavar='SHARE', help='share of the frames kept for validation: '
                        'whole sequences where there are several, otherwise the end of the drive')
    parser.add_argument('--val-scenes', nargs='+', default=[], help='sequences kept for validation: their names, or a '
                        'share of them, as 0.1')
    parser.add_argument('--clouds-in', choices=CLOUD_FRAMES, default='lidar', help='frame that the clouds are in; '
                        'those of a map (global, such as UTM) are moved to the vehicle and written anew')
    parser.add_argument('--cloud-unit', choices=UNITS, default='m', help='clouds in another unit than metres are '
                        'written anew')
    parser.add_argument('--calibration-unit', choices=UNITS, default='m',
                        help='unit of the translations of all matrices but ego2global')
    add_subset(parser)
    parser.set_defaults(run=lambda args: converters.create_jsonl_infos(
        args.frames, args.root_path, args.out_dir, args.val_share, parse_val_scenes(args.val_scenes), subset(args),
        converters.Coordinates(args.clouds_in, args.cloud_unit, args.calibration_unit), args.num_workers))


def add_synthetic(commands) -> None:
    parser = commands.add_parser('synthetic', help='generated scenes in the layout of KITTI or '
                                 'nuScenes')
    parser.add_argument('--layout', choices=['kitti', 'nuscenes'], default='kitti',
                        help='one camera, or six cameras on a moving vehicle')
    parser.add_argument('--world', choices=['street', 'yard'], default='street',
                        help='yard: scenes, light, camera and LiDAR unlike those of the street, without labels, to '
                        'measure on; in the layout of KITTI only')
    parser.add_argument('--num-frames', type=whole_number(1), required=True)
    parser.add_argument('--seed', type=SEED, default=0, help='the same seed gives the same files')
    parser.add_argument('--image-size', type=whole_number(16, 8192), nargs=2, metavar=('W', 'H'),
                        help='default: 384 128 for kitti, 384 216 for nuscenes')
    add_common_arguments(parser)
    parser.set_defaults(run=create_synthetic)


def add_subset(parser: ArgumentParser) -> None:
    parser.add_argument('--scenes', type=share, default=1.0,
                        help='share of the scenes to take, evenly spread, such as 0.1')
    add_every(parser)
    add_common_arguments(parser)


def add_every(parser: ArgumentParser) -> None:
    parser.add_argument('--every', type=whole_number(1), default=1, help='take every n-th frame of a scene')


def add_common_arguments(parser: ArgumentParser) -> None:
    parser.add_argument('--out-dir', required=True, help='folder to write to, created if missing')
    parser.add_argument('--num-workers', type=PROCESSES,
                        help='number of processes (default: one for each available core)')


def subset(args: Namespace) -> converters.Subset:
    return converters.Subset(args.every, args.scenes)


def create_synthetic(args: Namespace) -> list:
    from .. import scenes  # here, since it compiles: the other commands need not wait for that
    options = dict(image_size=tuple(args.image_size)) if args.image_size else {}
    options['num_workers'] = args.num_workers
    if args.layout == 'kitti':
        scenes.generate_dataset(args.out_dir, args.num_frames, args.seed, world=args.world, **options)
        return converters.create_kitti_infos(args.out_dir, args.out_dir,
                                             num_workers=args.num_workers)
    if args.world != 'street':
        raise ConfigError(f'--world {args.world} is written in the layout of KITTI only; leave out --layout nuscenes')
    version = scenes.generate_nuscenes_dataset(args.out_dir, args.num_frames, args.seed, **options)
    return converters.create_nuscenes_infos(args.out_dir, args.out_dir, version,
                                            num_workers=args.num_workers)


def report(written: list) -> None:
    for split in written:
        for line in split.left_out:
            print(f'left out: {line}')
        for line in split.remarks:
            print(f'note: {line}')
        print(f'{split.info_file}: {split.num_frames} frames, clouds from {split.clouds}')


def main(args: Namespace) -> None:
    report(args.run(args))
