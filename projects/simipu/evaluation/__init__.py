from .comparison import compare_metrics
from .depth_probe import DepthErrors, DepthProbeMetric, LinearDepthProbe, depth_errors
from .retrieval import CrossModalRetrieval, retrieval_ranks

__all__ = [
    'CrossModalRetrieval', 'DepthErrors', 'DepthProbeMetric', 'LinearDepthProbe',
    'compare_metrics', 'depth_errors', 'retrieval_ranks'
]
