"""Write the image backbone of a SimIPU checkpoint as a file that any detector loads."""
import argparse
import sys

from simipu.checkpoints import export_backbone
from simipu.errors import CheckpointError


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('checkpoint', help='training checkpoint (work_dirs/<config>/*.pth)')
    parser.add_argument('out', help='file to write: tensors only, keys of the bare mmdet backbone')
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    try:
        tensors = export_backbone(args.checkpoint, args.out)
    except (CheckpointError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    print(f'wrote {len(tensors)} tensors to {args.out}; a detector loads them by\n'
          f"  backbone=dict(init_cfg=dict(type='Pretrained', checkpoint={args.out!r}))")
    return 0


if __name__ == '__main__':
    sys.exit(main())
