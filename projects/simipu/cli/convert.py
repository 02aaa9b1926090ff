"""Convert weights between SimIPU (this package and the original) and other libraries' layouts.

The layout of the source is recognised by its keys. Examples:
  original SimIPU to this package:  %(prog)s released.pth simipu.pth --to ours
  its image backbone to timm:       %(prog)s released.pth resnet50.pth --to timm
"""
from argparse import ArgumentParser, Namespace

from ..checkpoints import TARGETS, convert_checkpoint


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument('checkpoint', help='file to convert')
    parser.add_argument('out', help='file to write')
    parser.add_argument('--to', choices=TARGETS, required=True, help='layout to write')


def main(args: Namespace) -> None:
    conversion = convert_checkpoint(args.checkpoint, args.to, args.out)
    print(f'wrote {len(conversion.state_dict)} tensors to {args.out}')
    if conversion.dropped:
        print(f'{len(conversion.dropped)} tensors have no place in this layout:')
        print('\n'.join(f'  {key}' for key in conversion.dropped))
