"""Build a detector, load pre-trained weights into its backbone, and report every tensor.

Exit code 0 if every tensor of the backbone was loaded, else 1.
"""
import argparse
import sys

from simipu.checkpoints import verify_pretrained
from simipu.errors import CheckpointError, ConfigError


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('detector_config', help='config of the detector')
    parser.add_argument('weights', help='exported backbone or training checkpoint')
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    try:
        report = verify_pretrained(args.detector_config, args.weights)
    except (CheckpointError, ConfigError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    print(report)
    return 0 if report.ok else 1


if __name__ == '__main__':
    sys.exit(main())
