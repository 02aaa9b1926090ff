"""A linear probe on a frozen backbone: how much depth do its features hold as they are?"""
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ...geometry import sample_features
from ..linear_probe import DepthErrors, LinearDepthProbe, depth_errors
from .frames import DepthFrames, DepthImage


def frozen_probe(backbone: nn.Module, level: int, labelled: DepthFrames,
                 scored: DepthFrames) -> DepthErrors:
    """Errors on ``scored`` of a ridge regression from one feature level to log depth.

    Args:
        backbone: Images (B, 3, H, W) -> sequence of feature maps; put into evaluation mode.
        level: Which of the maps.
        labelled: What the regression is fitted to, see ``LinearDepthProbe``.
        scored: Other frames.
    """
    return probe_errors(torch.cat(frozen_features(backbone, level, labelled)), labelled.depth,
                        torch.cat(frozen_features(backbone, level, scored)), scored.depth)


def probe_errors(features: Tensor, depth: Tensor, scored_features: Tensor,
                 scored_depth: Tensor) -> DepthErrors:
    """Errors at the scored rows of a probe fitted to (K, C) features and (K,) depths in metres."""
    probe = LinearDepthProbe().fit(features, depth)
    return depth_errors(probe.predict(scored_features), scored_depth.double())


@torch.no_grad()
def frozen_features(backbone: nn.Module, level: int, frames: DepthFrames,
                    batch_size: int = 8) -> list[Tensor]:
    """For each image (K, C) features at its K labelled pixels, on the CPU; running statistics are used."""
    backbone.eval()
    features = []
    for start in range(0, len(frames), batch_size):
        images = frames.images[start:start + batch_size]
        imgs = frames.normalised(images)
        features += [rows.cpu() for rows in
                     sample_labelled_pixels(backbone(imgs)[level], images, imgs.shape[-2:])]
    return features


def sample_labelled_pixels(feature_map: Tensor, images: Sequence[DepthImage],
                           input_shape: tuple[int, int]) -> list[Tensor]:
    """(B, C, h, w) map of a batch -> for each of its images (K, C), bilinear at the labelled pixels."""
    pixels = [item.pixels[None].float().to(feature_map.device) for item in images]
    return [sample_features(feature_map[i:i + 1], pixels[i], input_shape)[0] for i in range(len(images))]
