"""Monocular depth with mmsegmentation, as a downstream task; name ``simipu.downstream.depth`` in ``custom_imports``.

Not imported by ``simipu`` itself, because mmsegmentation is optional.
"""
from ...errors import DependencyError

try:
    import mmseg.evaluation
    import mmseg.models  # noqa: F401
except ImportError as error:
    raise DependencyError(f'monocular depth needs mmsegmentation and what it imports ({error}); '
                          'run: pip install -r requirements/depth.txt') from error

from .dense_depth_head import DenseDepthHead
from .lidar_depth import PackLidarDepth, lidar_depth_map

__all__ = ['DenseDepthHead', 'PackLidarDepth', 'lidar_depth_map']
