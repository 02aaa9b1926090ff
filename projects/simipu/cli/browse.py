"""Draw frames of a config's data set as the model will see them.

For each frame: every camera's augmented image with the LiDAR points that it sees, coloured by
depth, what augmentation did, both views of the cloud from above, and how their points are matched.
"""
from argparse import ArgumentParser, Namespace
from pathlib import Path

from mmengine.runner import set_random_seed

from ..engine import launch
from ..files import check_target
from ..geometry import forward_axis
from ..visualization import (
    add_frame_arguments,
    build_matcher,
    build_split,
    choose_frames,
    draw_frame,
    vstack,
    write_png,
)


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument('config', help='config file')
    add_frame_arguments(parser, split='train')
    parser.add_argument('--out', help='a .png for one sheet of all frames, or a folder for a '
                        'picture of each (default: browse_SPLIT.png in the work dir)')


def main(args: Namespace) -> None:
    cfg = launch.load_config(args)
    dataset = build_split(cfg, args.split)
    matcher = build_matcher(cfg)
    out = Path(args.out or Path(cfg.work_dir, f'browse_{args.split}.png'))
    as_sheet = out.suffix == '.png'
    check_target(out, folder=not as_sheet)
    pictures = []
    for index in choose_frames(len(dataset), args.num_frames, args.frame_index):
        set_random_seed(args.seed)  # for each frame, whose picture then depends on no other
        image, visible = draw_frame(
            dataset[index], matcher, ahead=forward_axis(dataset.get_data_info(index)['lidar2img']))
        for camera, share in visible.items():
            print(f'frame {index}, {camera}: {share:.1%} of the points visible')
        if as_sheet:
            pictures.append(image)
        else:
            print(write_png(image, out / f'{args.split}_{index:06d}.png'))
    if as_sheet:
        print(write_png(vstack(pictures, gap=16), out))
