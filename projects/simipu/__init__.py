"""SimIPU for OpenMMLab: label-free pre-training of camera backbones from paired images and LiDAR."""
from .versions import check_versions

check_versions()  # before anything that an unsupported version would break in a less clear way

from . import compat, datasets, engine, evaluation, models, ops  # noqa: E402,F401  (registers every type)

compat.allow_training_checkpoints()

__version__ = '0.1.0'
