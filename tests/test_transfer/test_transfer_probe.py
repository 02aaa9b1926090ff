"""Frozen probe and controls, on depth that brightness or position tells."""
import numpy as np
import pytest
import scipy.fft
import torch

from simipu.evaluation import depth_errors
from simipu.evaluation.transfer import (
    DepthFrames,
    DepthImage,
    build_backbone,
    calibrate_batch_norm,
    frozen_features,
    frozen_probe,
    position_features,
    probe_errors,
)


def test_probe_reads_brightness_and_nothing_else(bright_frames, pooling):
    labelled, scored = bright_frames.of(range(6)), bright_frames.of(range(6, 12))
    assert frozen_probe(pooling, 0, labelled, scored).abs_rel < 0.02
    blind = torch.nn.Sequential(pooling, Blind())
    constant = labelled.depth.log().mean().exp().expand_as(scored.depth)
    assert frozen_probe(blind, 0, labelled, scored).abs_rel == pytest.approx(
        depth_errors(constant, scored.depth).abs_rel, rel=1e-6)


class Blind(torch.nn.Module):
    """No feature differs from 0."""

    def forward(self, levels):
        return [torch.zeros_like(level) for level in levels]


def test_features_do_not_depend_on_the_batch(bright_frames, bright_cfg):
    backbone = build_backbone(bright_cfg)
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        together = frozen_features(backbone, -1, bright_frames.of([0, 1, 2]), batch_size=3)
        alone = frozen_features(backbone, -1, bright_frames.of([2]))
    torch.testing.assert_close(together[2], alone[0], rtol=1e-4, atol=1e-5)
    assert not backbone.training


def test_calibrated_statistics_are_those_of_the_images(bright_frames, bright_cfg):
    """The first batch norm's mean and variance against numpy on the first convolution's output."""
    backbone = build_backbone(bright_cfg)
    calibrate_batch_norm(backbone, bright_frames, batch_size=4)
    with torch.no_grad():
        maps = [backbone.conv1(bright_frames.normalised(bright_frames.images[start:start + 4])).cpu().numpy()
                for start in (0, 4, 8)]
    means = np.mean([part.mean((0, 2, 3)) for part in maps], axis=0)
    variances = np.mean([part.var((0, 2, 3), ddof=1) for part in maps], axis=0)
    norm = backbone.bn1.cpu()
    np.testing.assert_allclose(norm.running_mean.numpy(), means, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(norm.running_var.numpy(), variances, rtol=1e-3)


def every_pixel(height, width, depth) -> DepthFrames:
    v, u = np.mgrid[:height, :width]
    pixels = torch.from_numpy(np.stack([u.ravel(), v.ravel()], 1)).double()
    image = torch.zeros(3, height, width, dtype=torch.uint8)
    return DepthFrames([DepthImage(image, pixels, torch.from_numpy(depth(u, v).ravel()).double(), 0)], None)


def test_position_features_are_the_cosine_transform():
    features = position_features(every_pixel(8, 12, lambda u, v: u + 1.0), order=3).numpy()
    rows = scipy.fft.dct(np.eye(12), axis=0)[:3] / 2  # cos(pi k (n + 1/2) / N)
    columns = scipy.fft.dct(np.eye(8), axis=0)[:3] / 2
    expected = np.stack([np.outer(columns[m], rows[k]).ravel() for k in range(3) for m in range(3)], 1)
    np.testing.assert_allclose(features, expected[:, 1:], atol=1e-12)


def test_position_tells_a_road_but_not_what_stands_on_it():
    def error(frames):
        features = position_features(frames)
        return probe_errors(features, frames.depth, features, frames.depth).abs_rel

    assert error(every_pixel(16, 48, lambda u, v: 1.6 * 60 / (v + 4.0))) < 0.03
    rng = np.random.default_rng(0)
    assert error(every_pixel(16, 48, lambda u, v: np.where(rng.random(u.shape) < 0.5, 5.0, 30.0))) > 0.5
