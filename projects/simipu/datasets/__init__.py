from .. import compat
from . import collating, transforms  # noqa: F401
from .controls import MispairedDataset
from .paired_dataset import PairedDataset

compat.read_kitti_frames_without_objects()

__all__ = ['MispairedDataset', 'PairedDataset']
