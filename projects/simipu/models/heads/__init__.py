from .contrastive_head import ContrastiveHead
from .depth_regression_head import DepthRegressionHead

__all__ = ['ContrastiveHead', 'DepthRegressionHead']
