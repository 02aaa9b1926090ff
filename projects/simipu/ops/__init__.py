"""Sampling and grouping of points on CPU and CUDA."""
from .gather import gather_max, gather_points, group_points
from .neighbors import ball_query, multi_ball_query
from .sampling import (
    furthest_feature_sample,
    furthest_point_sample,
    furthest_point_sample_with_dist,
    sample_points,
)
from .weighted_batch_norm import weighted_batch_norm_relu

__all__ = [
    'ball_query', 'furthest_feature_sample', 'furthest_point_sample',
    'furthest_point_sample_with_dist', 'gather_max', 'gather_points', 'group_points',
    'multi_ball_query', 'sample_points', 'weighted_batch_norm_relu'
]
