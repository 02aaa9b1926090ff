"""What every point encoder returns."""
from typing import NamedTuple

from torch import Tensor

from ...errors import ConfigError


class PointFeatures(NamedTuple):
    """Features at M points sampled from a batch of clouds.

    A point encoder is a module ``encoder(points, sampling=None) -> PointFeatures`` with an
    attribute ``out_channels``; ``points`` is (B, N, 3 + D): x, y, z in metres in the LiDAR frame,
    then D more channels such as intensity.

    Attributes:
        xyz (Tensor): (B, M, 3) coordinates of the sampled points.
        features (Tensor): (B, M, C) features.
        indices (Tensor): (B, M) long, row of each sampled point in the input cloud.
        sampling (tuple[Tensor]): which rows each level of the encoder sampled, (B, M_level) long
            each. Given back as ``encoder(other_points, sampling=...)`` it makes the encoder take
            the same rows of another view of the same cloud, so that row m of both results is the
            same physical point.
    """
    xyz: Tensor
    features: Tensor
    indices: Tensor
    sampling: tuple[Tensor, ...]


def check_points(points: Tensor, in_channels: int, encoder: str) -> None:
    """Raise a ConfigError unless ``points`` is (B, N > 0, in_channels)."""
    if points.ndim == 3 and points.shape[1] > 0 and points.shape[2] == in_channels:
        return
    found = points.shape[-1]
    advice = 'check the point pipeline'
    if found != in_channels:
        meaning = ' (x, y, z; the clouds have no intensity)' if found == 3 else ''
        advice = f'set model.point_encoder.in_channels={found}{meaning}, or choose other columns by use_dim'
    raise ConfigError(f'{encoder} expects (B, N > 0, {in_channels}) points, got {tuple(points.shape)}: {advice}')
