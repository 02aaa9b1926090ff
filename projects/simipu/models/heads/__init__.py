from .contrastive_head import ContrastiveHead
from .depth_regression_head import DepthRegressionHead
from .geometry_head import GeometryHead

__all__ = ['ContrastiveHead', 'DepthRegressionHead', 'GeometryHead']
