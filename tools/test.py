"""Evaluate a checkpoint as the test part of a config says."""
from argparse import ArgumentParser, Namespace

from simipu.engine import launch


def parse_args() -> Namespace:
    parser = ArgumentParser(description=__doc__)
    launch.add_common_arguments(parser)
    parser.add_argument('checkpoint', help='checkpoint file')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    cfg = launch.load_config(args)
    launch.set_checkpoint(cfg, args.checkpoint)
    launch.build_runner(cfg, strict=True).test()


if __name__ == '__main__':
    launch.run(main)
