"""The flags that the tools which draw frames share."""
from argparse import ArgumentParser

from ..config import OverrideAction
from ..config.options import SEED, whole_number


def add_frame_arguments(parser: ArgumentParser, split: str) -> None:
    """Flags that say which frames of a config's data set to draw.

    The result also suits ``simipu.engine.launch.load_config``, for a single process.

    Args:
        parser: Gets the flags.
        split: The default of ``--split``.
    """
    parser.add_argument('--split', choices=['train', 'val', 'test'], default=split,
                        help=f'(default: {split})')
    parser.add_argument('--num-frames', type=whole_number(1), default=2, help='how many frames (default: 2)')
    parser.add_argument('--frame-index', type=whole_number(0),
                        help='first frame (default: frames spread over the split)')
    parser.add_argument('--seed', type=SEED, default=0,
                        help='of augmentation, sampled points and untrained weights (default: 0)')
    parser.add_argument('--data-root',
                        help='folder of the data, in place of the data_root of the config')
    parser.add_argument('--cfg-options', nargs='+', action=OverrideAction, metavar='KEY=VALUE',
                        help='override settings of the config')
    parser.set_defaults(work_dir=None, launcher='none', local_rank=0)
