"""The generated scenes that benchmarks pre-train on."""
from pathlib import Path

from simipu.datasets.converters import create_kitti_infos
from simipu.scenes import generate_dataset

NUM_TRAIN, NUM_VAL = 2400, 384


def make_frames(root: Path, num_train: int, num_val: int, num_workers: int, world: str = 'street') -> None:
    """Frames to pre-train on and to measure on, and their info files; frames that are there already are kept.

    Raises:
        ValueError, FileExistsError: ``root`` holds frames of another kind, or something else.
    """
    total = num_train + num_val
    generate_dataset(root, total, val_fraction=num_val / total, num_workers=num_workers, world=world)
    # Always: a folder of fewer frames has been added to, and splits them otherwise now.
    create_kitti_infos(root, root, num_workers=num_workers)
