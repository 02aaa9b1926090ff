"""Convert weights between SimIPU (this package and the original) and other libraries' layouts.

The layout of the source is recognised by its keys. Examples:
  original SimIPU to this package:  convert_checkpoint.py released.pth simipu.pth --to ours
  its image backbone to timm:       convert_checkpoint.py released.pth resnet50.pth --to timm
"""
import argparse
import sys

from simipu.checkpoints import TARGETS, convert_checkpoint
from simipu.errors import CheckpointError


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('checkpoint', help='file to convert')
    parser.add_argument('out', help='file to write')
    parser.add_argument('--to', choices=TARGETS, required=True, help='layout to write')
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    try:
        conversion = convert_checkpoint(args.checkpoint, args.to, args.out)
    except (CheckpointError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    print(f'wrote {len(conversion.state_dict)} tensors to {args.out}')
    if conversion.dropped:
        print(f'{len(conversion.dropped)} tensors have no place in this layout:')
        print('\n'.join(f'  {key}' for key in conversion.dropped))
    return 0


if __name__ == '__main__':
    sys.exit(main())
