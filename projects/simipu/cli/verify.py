"""Build a detector, load pre-trained weights into its backbone, and report every tensor.

Exit code 0 if every tensor of the backbone was loaded, else 1.
"""
from argparse import ArgumentParser, Namespace

from ..checkpoints import verify_pretrained


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument('detector_config', help='config of the detector')
    parser.add_argument('weights', help='exported backbone or training checkpoint')
    parser.add_argument('--backbone-only', action='store_true',
                        help='build the backbone alone, for detectors whose other parts cannot be built here')


def main(args: Namespace) -> int:
    report = verify_pretrained(args.detector_config, args.weights, args.backbone_only)
    print(report)
    return 0 if report.ok else 1
