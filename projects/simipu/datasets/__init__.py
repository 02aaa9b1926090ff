from . import transforms  # noqa: F401
from .errors import DataError
from .paired_dataset import PairedDataset

__all__ = ['DataError', 'PairedDataset']
