from . import transforms  # noqa: F401
from .controls import MispairedDataset
from .errors import DataError
from .paired_dataset import PairedDataset

__all__ = ['DataError', 'MispairedDataset', 'PairedDataset']
