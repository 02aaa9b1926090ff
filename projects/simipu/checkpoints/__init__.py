"""Weights in and out of SimIPU: reading, exporting, converting and verifying checkpoints."""
from ..errors import CheckpointError
from .converting import TARGETS, Conversion, convert, convert_checkpoint, detect_layout
from .exporting import export_backbone
from .metadata import pretraining_facts
from .reading import Checkpoint, read_checkpoint, read_state_dict
from .verifying import VerificationReport, verify_pretrained

__all__ = [
    'TARGETS', 'Checkpoint', 'CheckpointError', 'Conversion', 'VerificationReport', 'convert',
    'convert_checkpoint', 'detect_layout', 'export_backbone', 'pretraining_facts',
    'read_checkpoint', 'read_state_dict', 'verify_pretrained'
]
