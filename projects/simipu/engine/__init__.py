from ..seeding import SeededIndex, sample_seed
from .dry_run_hook import DryRunHook
from .finite_hook import FiniteHook
from .hybrid_optimizer import HybridOptimizer, HybridOptimWrapperConstructor
from .mixture_sampler import MixtureSampler
from .muon import ConvMuon
from .report_pretrained_hook import ReportPretrained
from .resumable_sampler import ResumableSampler
from .resume_hook import ResumeHook
from .skip_empty_batch_hook import SkipEmptyBatchHook
from .stop_hook import StopHook
from .strict_checkpoint_hook import StrictCheckpointHook

__all__ = [
    'ConvMuon', 'DryRunHook', 'FiniteHook', 'HybridOptimizer', 'HybridOptimWrapperConstructor', 'MixtureSampler',
    'ReportPretrained', 'ResumableSampler', 'ResumeHook', 'SeededIndex', 'SkipEmptyBatchHook', 'StopHook',
    'StrictCheckpointHook', 'sample_seed'
]
