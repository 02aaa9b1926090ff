"""Reads configs and finds their mistakes before anything is built."""
from .arguments import accepted_arguments
from .checking import check_config, check_device, check_typed_dict
from .construction import construction_errors_named
from .overriding import OverrideAction, read_with_overrides
from .reading import read_config
from .sections import check_parts

__all__ = [
    'OverrideAction', 'accepted_arguments', 'check_config', 'check_device', 'check_parts', 'check_typed_dict',
    'construction_errors_named', 'read_config', 'read_with_overrides'
]
