"""SimIPU for OpenMMLab: label-free pre-training of camera backbones from paired images and LiDAR."""
from .versions import check_versions

check_versions()  # before anything that an unsupported version would break in a less clear way

from . import compat

compat.silence_spconv()
compat.stand_in_for_missing_operators()
compat.allow_training_checkpoints()
compat.find_own_bases()
compat.write_checkpoints_whole()
compat.remove_checkpoints_afterwards()
compat.read_yaml_safely()

from . import engine  # noqa: F401  (registers its types)

compat.register_on_first_use()

__version__ = '0.1.0'
