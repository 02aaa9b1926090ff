"""Few-label fine-tuning: a backbone and a light depth decoder on some labelled frames."""
import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ...seeding import seed_everything
from ..linear_probe import DepthErrors, depth_errors
from .frames import DepthFrames, DepthImage
from .probe import sample_labelled_pixels


class FineTuning(NamedTuple):
    """How long and how fast.

    The learning rate of AdamW rises over the first tenth of the steps, then falls along a half cosine.
    """
    steps: int
    batch_size: int
    learning_rate: float

    def rate(self, step: int) -> float:
        """Learning rate of a step, counted from 0, as a share of ``learning_rate``."""
        warm_up = max(self.steps // 10, 1)
        return min((step + 1) / warm_up, 1) * (1 + math.cos(math.pi * step / self.steps)) / 2


class DepthModel(nn.Module):
    """Log depth from one level of a backbone: two convolutions and a linear read-out.

    Args:
        backbone: Images (B, 3, H, W) -> sequence of feature maps.
        level: Which of the maps.
        frames: Labelled; their mean log depth is what the model starts from, and their range of
            depths is what it predicts within.
        width: Channels of the decoder.
    """

    def __init__(self, backbone: nn.Module, level: int, frames: DepthFrames, width: int = 64) -> None:
        super().__init__()
        self.backbone = backbone
        self.level = level
        log_depth = frames.depth.log()
        self.log_range = log_depth.min().item(), log_depth.max().item()
        device = next(backbone.parameters()).device
        read_out = nn.Conv2d(width, 1, 1)
        nn.init.constant_(read_out.bias, log_depth.mean().item())
        self.decoder = nn.Sequential(
            *_conv(self._num_channels(frames), width, 1), *_conv(width, width, 3), read_out).to(device)

    def forward(self, imgs: Tensor) -> Tensor:
        """(B, 3, H, W) normalised images -> (B, 1, h, w) log depth, depth in metres."""
        return self.decoder(self.backbone(imgs)[self.level])

    @torch.no_grad()
    def _num_channels(self, frames: DepthFrames) -> int:
        self.backbone.eval()
        return self.backbone(frames.normalised(frames.images[:1]))[self.level].shape[1]


def _conv(in_channels: int, out_channels: int, kernel: int) -> tuple[nn.Module, ...]:
    conv = nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, bias=False)
    return conv, nn.BatchNorm2d(out_channels), nn.ReLU()


def fine_tune(backbone: nn.Module, level: int, labelled: DepthFrames, recipe: FineTuning,
              seed: int) -> DepthModel:
    """Train the backbone and a new decoder on ``labelled``, with images flipped at random.

    Args:
        backbone: Changed in place.
        level: Which of its maps the decoder reads.
        labelled: Frames to train on.
        recipe: Steps, batch size, learning rate.
        seed: Of the decoder's weights, the order of the images and their flips.
    """
    seed_everything(seed)
    model = DepthModel(backbone, level, labelled)
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.learning_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, recipe.rate)
    model.train()
    for batch in random_batches(len(labelled), recipe):
        images = [labelled.images[i] for i in batch]
        images = [item.flipped() if torch.rand(()) < 0.5 else item for item in images]
        log_depth = torch.cat(log_depth_at_pixels(model, labelled, images))
        target = torch.cat([item.depth for item in images]).log().to(log_depth)
        optimizer.zero_grad()
        scale_invariant_loss(log_depth, target).backward()
        optimizer.step()
        schedule.step()
    return model


def random_batches(num_images: int, recipe: FineTuning) -> list[list[int]]:
    """Numbers of the images of each step: shuffled passes over all images, one after the other."""
    needed = recipe.steps * recipe.batch_size
    order = torch.cat([torch.randperm(num_images) for _ in range(math.ceil(needed / num_images))])
    return order[:needed].view(recipe.steps, recipe.batch_size).tolist()


def scale_invariant_loss(log_depth: Tensor, target: Tensor, share: float = 0.5) -> Tensor:
    """Mean squared error of log depth, less ``share`` of the squared mean error.

    Eigen et al., Depth map prediction from a single image using a multi-scale deep network, NeurIPS
    2014, equation 4, with their share of 0.5.

    Args:
        log_depth: Predicted, (K,).
        target: Log depth to compare with, (K,).
    """
    difference = log_depth - target
    return difference.square().mean() - share * difference.mean().square()


def log_depth_at_pixels(model: DepthModel, frames: DepthFrames, images: list[DepthImage]
                        ) -> list[Tensor]:
    """For each of the images, which are of ``frames``, (K,) predicted log depths at its pixels."""
    imgs = frames.normalised(images)
    return [rows[:, 0] for rows in sample_labelled_pixels(model(imgs), images, imgs.shape[-2:])]


@torch.no_grad()
def score(model: DepthModel, scored: DepthFrames, batch_size: int = 8) -> DepthErrors:
    """Errors of the model's depth at the labelled pixels of other frames."""
    model.eval()
    log_depth = torch.cat([
        rows for start in range(0, len(scored), batch_size)
        for rows in log_depth_at_pixels(model, scored, scored.images[start:start + batch_size])])
    predicted = log_depth.double().cpu().clamp(*model.log_range).exp()
    return depth_errors(predicted, scored.depth.double())
