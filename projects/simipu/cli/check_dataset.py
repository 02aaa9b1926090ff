"""Check a data set before training on it: files, sizes, time stamps and calibration.

    %(prog)s data/kitti/simipu_infos_train.pkl

Exit code 0: nothing is wrong; 1: something is; 2: the info file cannot be read.
docs/check_dataset.md says what is checked and how far the calibration score can be trusted.
"""
import json
import os.path as osp
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from ..datasets.checking import check_dataset
from ..errors import DataError


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument('info', help='info file (.pkl)')
    parser.add_argument('--data-root', help='folder that its paths are relative to (default: the '
                        'info file\'s)')
    parser.add_argument('--data-prefix', nargs='+', default=[], metavar='KEY=FOLDER',
                        help='as data_prefix in a config: pts=..., img=..., or a camera\'s name')
    parser.add_argument('--cameras', nargs='+', help='which cameras (default: all)')
    parser.add_argument('--sample', type=number_or_all, default=50, metavar='N|all',
                        help='open the files of so many frames, evenly spread (default: 50)')
    parser.add_argument('--load-dim', type=int, default=4,
                        help='values per point, if the info file does not say (default: 4)')
    parser.add_argument('--json', type=Path, help='write the whole report there too')


def number_or_all(text: str):
    return text if text == 'all' else int(text)


def main(args: Namespace) -> int:
    root = args.data_root or osp.dirname(osp.abspath(args.info))
    try:
        report = check_dataset(osp.abspath(args.info), root,
                               dict(item.split('=', 1) for item in args.data_prefix), args.cameras,
                               args.sample, args.load_dim)
    except DataError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    print('\n' + report.to_text())
    if args.json:
        args.json.write_text(json.dumps(report.to_dict(), indent=2) + '\n')
    return 0 if report.passed else 1
