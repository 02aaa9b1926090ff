"""SimIPU for OpenMMLab: label-free pre-training of camera backbones from paired images and LiDAR."""
from . import datasets, engine, evaluation, models, ops  # noqa: F401  (registers every type)

__version__ = '0.1.0'
