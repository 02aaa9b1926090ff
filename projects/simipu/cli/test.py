"""Evaluate a checkpoint as the test part of a config says."""
from argparse import ArgumentParser, Namespace

import mmengine

from ..config import check_device
from ..engine import launch


def add_arguments(parser: ArgumentParser) -> None:
    launch.add_common_arguments(parser)
    parser.add_argument('checkpoint', nargs='?',
                        help='checkpoint file (default: measure the initial weights)')
    parser.add_argument('--out', metavar='JSON', help='write the metrics to this file as well')


def main(args: Namespace) -> None:
    cfg = launch.load_config(args)
    check_device(cfg, 'model', 'test_evaluator')
    if args.checkpoint:
        launch.set_checkpoint(cfg, args.checkpoint)
    metrics = launch.build_runner(cfg, strict=args.checkpoint is not None).test()
    if args.out:
        mmengine.dump(metrics, args.out, indent=2)
