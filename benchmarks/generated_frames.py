"""The generated scenes that benchmarks pre-train on."""
from pathlib import Path

from simipu.datasets.converters import create_kitti_infos
from simipu.datasets.synthetic import generate_dataset


def make_frames(root: Path, num_train: int, num_val: int, num_workers: int) -> None:
    """Frames and info files to pre-train on and to measure on; those that are there already are kept.

    Raises:
        ValueError, FileExistsError: ``root`` holds another set, or something else.
    """
    total = num_train + num_val
    generate_dataset(root, total, val_fraction=num_val / total, num_workers=num_workers)
    if not (root / 'simipu_infos_val.pkl').is_file():
        create_kitti_infos(root, root, num_workers=num_workers)
