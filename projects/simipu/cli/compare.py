"""Print the metrics of two evaluations (files of simipu test --out) side by side."""
from argparse import ArgumentParser, Namespace

import mmengine

from ..evaluation import compare_metrics


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument('before', help='JSON file')
    parser.add_argument('after', help='JSON file')


def main(args: Namespace) -> None:
    print(compare_metrics(mmengine.load(args.before), mmengine.load(args.after)))
