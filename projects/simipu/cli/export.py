"""Write the image backbone of a SimIPU checkpoint as a file that any detector loads."""
from argparse import ArgumentParser, Namespace

from ..checkpoints import export_backbone


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument('checkpoint', help='training checkpoint (work_dirs/<config>/*.pth)')
    parser.add_argument('out', help='file to write: tensors only, keys of the bare mmdet backbone')


def main(args: Namespace) -> None:
    tensors = export_backbone(args.checkpoint, args.out)
    print(f'wrote {len(tensors)} tensors to {args.out}; a detector loads them by\n'
          f"  backbone=dict(init_cfg=dict(type='Pretrained', checkpoint={args.out!r}))")
