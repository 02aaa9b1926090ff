"""Draw what a checkpoint has learnt on frames of a config's data set, or the curves of a training.

For each frame: image features as colours (PCA), the similarity of one pixel to every point and of
one point to every pixel, the depth that a linear probe reads from the features, and retrieval
mistakes.

Examples:
  %(prog)s configs/simipu_synthetic.py work_dirs/simipu_synthetic/iter_500.pth
  %(prog)s --log work_dirs/simipu_synthetic
"""
from argparse import ArgumentParser, Namespace
from pathlib import Path

from mmengine.config import Config
from mmengine.runner import set_random_seed

from .. import visualization as vis
from ..config.options import whole_number
from ..engine import launch
from ..errors import ConfigError
from ..files import check_target


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument('config', nargs='?', help='config file')
    parser.add_argument('checkpoint', nargs='?',
                        help='checkpoint file (default: untrained weights)')
    parser.add_argument('--log', metavar='WORK_DIR',
                        help='draw the training curves of this work dir')
    parser.add_argument('--out-dir', default='visualizations',
                        help='folder of the pictures (default: visualizations)')
    vis.add_frame_arguments(parser, split='val')
    parser.add_argument('--camera', help='name of the camera that is asked (default: the first)')
    parser.add_argument('--pixel', type=float, nargs=2, metavar=('U', 'V'),
                        help='pixel of the input image (default: that of the point)')
    parser.add_argument('--point', type=whole_number(0), metavar='I',
                        help='number of a sampled point (default: the one next to the pixel)')
    parser.add_argument('--probe-frames', type=whole_number(0), default=32,
                        help='at most how many other frames the depth probe is fitted to '
                        '(default: 32)')


def draw_frames(cfg: Config, args: Namespace) -> None:
    dataset = vis.build_split(cfg, args.split)
    set_random_seed(args.seed)
    model = vis.build_model(cfg, args.checkpoint)
    shown = vis.choose_frames(len(dataset), args.num_frames, args.frame_index)
    others = vis.choose_other_frames(len(dataset), shown, args.probe_frames)
    frames = [vis.extract_frame(model, dataset[index]) for index in shown]
    if others:
        probe = vis.fit_depth_probe(vis.extract_frame(model, dataset[index]) for index in others)
    else:
        probe = None
        print('no depth probe: it is fitted to frames that are not shown, and all are shown')
    colours = vis.fit_pca_colours(frames)
    for index, frame in zip(shown, frames):
        camera = frame.camera_index(args.camera)
        query = vis.choose_query(frame, camera, args.pixel, args.point)
        picture = vis.draw_model_frame(frame, colours, query, camera, probe)
        print(vis.write_png(picture, Path(args.out_dir, f'{args.split}_{index:06d}.png')))


def main(args: Namespace) -> None:
    if not args.config and not args.log:
        raise ConfigError('found neither a config nor --log; give a config, --log WORK_DIR, or both')
    check_target(args.out_dir, folder=True)
    if args.log:
        curves = vis.draw_training_curves(vis.read_scalars(args.log))
        print(vis.write_png(curves, Path(args.out_dir, 'curves.png')))
    if args.config:
        draw_frames(launch.load_config(args), args)
