"""Evaluate a checkpoint as the test part of a config says."""
from argparse import ArgumentParser, Namespace

import mmengine

from ..config import check_device, check_parts, construction_errors_named
from ..engine import launch
from ..engine.processes import part_from_others
from ..files import check_target, write_whole


def add_arguments(parser: ArgumentParser) -> None:
    launch.add_common_arguments(parser)
    parser.add_argument('checkpoint', nargs='?',
                        help='checkpoint file (default: measure the initial weights)')
    parser.add_argument('--out', metavar='JSON', help='write the metrics to this file as well')


def main(args: Namespace) -> None:
    if args.out:
        check_target(args.out)
    cfg = launch.load_config(args)
    check_parts(cfg, 'test_dataloader', 'test_cfg', 'test_evaluator')
    check_device(cfg, 'model', 'test_evaluator')
    if args.checkpoint:
        launch.set_checkpoint(cfg, args.checkpoint)
    with construction_errors_named(cfg):
        metrics = launch.build_runner(cfg, strict=args.checkpoint is not None).test()
    if cfg.launcher != 'none':
        part_from_others()
    if args.out and launch.is_first_process(cfg.launcher):
        write_whole(args.out, mmengine.dump(metrics, file_format='json', indent=2).encode())
