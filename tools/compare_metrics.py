"""Print the metrics of two evaluations (files of tools/test.py --out) side by side."""
from argparse import ArgumentParser

import mmengine

from simipu.evaluation import compare_metrics


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument('before', help='JSON file')
    parser.add_argument('after', help='JSON file')
    args = parser.parse_args()
    print(compare_metrics(mmengine.load(args.before), mmengine.load(args.after)))


if __name__ == '__main__':
    main()
