from .comparison import compare_metrics, read_metrics
from .depth_probe import DepthProbeMetric
from .linear_probe import DepthErrors, LinearDepthProbe, LinearProbe, depth_errors
from .retrieval import CrossModalRetrieval, retrieval_ranks
from .streaming import StreamingMetric

__all__ = [
    'CrossModalRetrieval', 'DepthErrors', 'DepthProbeMetric', 'LinearDepthProbe', 'LinearProbe',
    'StreamingMetric', 'compare_metrics', 'depth_errors', 'read_metrics', 'retrieval_ranks'
]
