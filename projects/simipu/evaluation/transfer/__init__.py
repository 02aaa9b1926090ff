"""Is depth read better from a pre-trained backbone than from a random one, frozen and after fine-tuning?

The depth is the LiDAR's own, so that any paired data set serves, with no annotation.
"""
from .backbones import build_backbone, feature_level
from .benchmark import (
    CALIBRATED,
    CLASS_INIT,
    POSITION,
    SCRATCH,
    FrameSplit,
    Measurement,
    Settings,
    TransferBenchmark,
    count_training_frames,
    parse_backbones,
    split_frames,
    take_training_frames_if_alone,
)
from .controls import calibrate_batch_norm, position_features
from .finetune import DepthModel, FineTuning, fine_tune, scale_invariant_loss, score
from .frames import DepthFrames, DepthImage, load_depth_frames
from .measuring import measure_all
from .probe import frozen_features, frozen_probe, probe_errors
from .report import Ratio, format_tables, ratio, write_report
from .targets import OBJECT, SURFACE, ProbeTarget

__all__ = [
    'CALIBRATED', 'CLASS_INIT', 'OBJECT', 'POSITION', 'SCRATCH', 'SURFACE', 'DepthFrames', 'DepthImage', 'DepthModel',
    'FineTuning', 'FrameSplit', 'Measurement', 'ProbeTarget', 'Ratio', 'Settings', 'TransferBenchmark',
    'build_backbone', 'calibrate_batch_norm', 'count_training_frames', 'feature_level', 'fine_tune',
    'format_tables', 'frozen_features', 'frozen_probe', 'load_depth_frames', 'measure_all',
    'parse_backbones', 'position_features', 'probe_errors', 'ratio', 'scale_invariant_loss',
    'score', 'split_frames', 'take_training_frames_if_alone', 'write_report'
]
