"""Check a data set before training on it: files, sizes, units, axes, time stamps and calibration.

    %(prog)s configs/simipu_kitti.py --data-root data/kitti
    %(prog)s data/kitti/simipu_infos_train.pkl

A config is checked with its own pipeline: what its range filter and sampling leave in each image, and what
reaches the encoder.

Exit code 0: nothing is wrong; 1: something is; 2: the config or the info file cannot be read.
docs/check_dataset.md says what is checked and how far the calibration score can be trusted.
"""
import json
import os.path as osp
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from ..config import OverrideAction
from ..config.options import whole_number
from ..datasets.checking import Report, check_config, check_dataset
from ..engine import launch
from ..errors import ConfigError, SimIPUError
from ..files import check_target, read_json, write_whole

# Options that only one of config and info file has use for, and what they are when not given.
OF_CONFIG = dict(split='train', cfg_options={})
OF_INFO = dict(data_prefix=[], cameras=None, load_dim=4)


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument('config', metavar='CONFIG|INFO', help='config of a pre-training, or info file (.pkl or .json)')
    parser.add_argument('--data-root', help='folder of the data (default: the config\'s, or the info file\'s)')
    parser.add_argument('--sample', type=count_or_all, default=50, metavar='N|all',
                        help='open the files of so many frames, evenly spread (default: 50)')
    parser.add_argument('--json', type=Path, help='write the whole report there too')
    of_config = parser.add_argument_group('of a config')
    of_config.add_argument('--split', choices=['train', 'val', 'test'], help='(default: train)')
    of_config.add_argument('--cfg-options', nargs='+', action=OverrideAction, metavar='KEY=VALUE',
                           help='override settings of the config')
    of_info = parser.add_argument_group('of an info file')
    of_info.add_argument('--data-prefix', nargs='+', metavar='KEY=FOLDER',
                         help='as data_prefix in a config: pts=..., img=..., or a camera\'s name')
    of_info.add_argument('--cameras', nargs='+', help='which cameras (default: all)')
    of_info.add_argument('--load-dim', type=whole_number(3, 64),
                         help='values per point, if the info file does not say (default: 4)')
    parser.set_defaults(work_dir=None, launcher='none', local_rank=0, **OF_CONFIG, **OF_INFO)


def parse_prefix(items: list[str]) -> dict[str, str]:
    for item in items:
        if item.find('=') < 1:
            raise ConfigError(f'--data-prefix {item}: expected KEY=FOLDER, such as pts=training/velodyne')
    return dict(item.split('=', 1) for item in items)


def count_or_all(text: str) -> int | str:
    return text if text == 'all' else whole_number(1)(text)


def main(args: Namespace) -> int:
    try:
        reports = check(args)
    except SimIPUError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    for report in reports:
        print('\n' + report.to_text())
    if args.json:
        content = [report.to_dict() for report in reports]
        write_whole(args.json, (json.dumps(content if len(content) > 1 else content[0], indent=2) + '\n').encode())
    return 0 if all(report.passed for report in reports) else 1


def _is_info_file(path: Path) -> bool:
    """Whether it is no config; either may be written in JSON."""
    if path.suffix != '.json':
        return path.suffix in ('.pkl', '.pickle')
    content = read_json(path)
    return isinstance(content, dict) and 'data_list' in content


def check(args: Namespace) -> list[Report]:
    """The reports of what ``args.config`` names."""
    if args.json:
        check_target(args.json)
    is_info = _is_info_file(Path(args.config))
    useless = OF_CONFIG if is_info else OF_INFO
    given = [f'--{name.replace("_", "-")}' for name, default in useless.items() if getattr(args, name) != default]
    if given:
        raise ConfigError(f'{", ".join(given)}: of no effect on {"an info file" if is_info else "a config"}; '
                          + ('give the config instead' if is_info else 'set the same in the config, by --cfg-options'))
    if is_info:
        root = args.data_root or osp.dirname(osp.abspath(args.config))
        return [check_dataset(osp.abspath(args.config), root, parse_prefix(args.data_prefix), args.cameras, args.sample,
                              args.load_dim)]
    return check_config(launch.load_config(args), args.split, args.sample)
