"""Print the metrics of two evaluations (files of simipu test --out) side by side."""
from argparse import ArgumentParser, Namespace

from ..evaluation import compare_metrics, read_metrics


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument('before', help='JSON file')
    parser.add_argument('after', help='JSON file')


def main(args: Namespace) -> None:
    print(compare_metrics(read_metrics(args.before), read_metrics(args.after)))
