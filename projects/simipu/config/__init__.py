"""Reads configs and finds their mistakes before anything is built."""
from .arguments import accepted_arguments
from .checking import check_config, check_device, check_typed_dict
from .overriding import OverrideAction, read_with_overrides
from .reading import read_config

__all__ = [
    'OverrideAction', 'accepted_arguments', 'check_config', 'check_device', 'check_typed_dict', 'read_config',
    'read_with_overrides'
]
