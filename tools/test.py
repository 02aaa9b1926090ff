"""Evaluate a checkpoint as the test part of a config says."""
from argparse import ArgumentParser, Namespace

import mmengine

from simipu.config import check_device
from simipu.engine import launch


def parse_args() -> Namespace:
    parser = ArgumentParser(description=__doc__)
    launch.add_common_arguments(parser)
    parser.add_argument('checkpoint', nargs='?',
                        help='checkpoint file (default: measure the initial weights)')
    parser.add_argument('--out', metavar='JSON', help='write the metrics to this file as well')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    cfg = launch.load_config(args)
    check_device(cfg, 'model', 'test_evaluator')
    if args.checkpoint:
        launch.set_checkpoint(cfg, args.checkpoint)
    metrics = launch.build_runner(cfg, strict=True).test()
    if args.out:
        mmengine.dump(metrics, args.out, indent=2)


if __name__ == '__main__':
    launch.run(main)
