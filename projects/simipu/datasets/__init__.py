from . import transforms  # noqa: F401
from .controls import MispairedDataset
from .paired_dataset import PairedDataset

__all__ = ['MispairedDataset', 'PairedDataset']
