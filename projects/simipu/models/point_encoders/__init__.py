"""Point encoders: from a cloud to features at sampled points."""
from .base import PointFeatures
from .pointnet2 import PointNet2Encoder
from .set_abstraction import PortableSAModuleMSG
from .sparse_conv import SparseConvEncoder

__all__ = ['PointFeatures', 'PointNet2Encoder', 'PortableSAModuleMSG', 'SparseConvEncoder']
