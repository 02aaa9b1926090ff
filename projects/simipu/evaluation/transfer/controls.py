"""Depth without pre-training: from the position of a pixel alone, and from random weights."""
import math

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from .frames import DepthFrames


@torch.no_grad()
def calibrate_batch_norm(backbone: nn.Module, frames: DepthFrames, batch_size: int = 8) -> None:
    """Set the running statistics of batch norm to those of some images; weights stay as they are.

    A random backbone's running statistics (0 and 1) do not fit its activations; this control tells
    how much of a gain is no more than statistics that do.
    """
    update_bn((frames.normalised(frames.images[start:start + batch_size])
               for start in range(0, len(frames), batch_size)), backbone)


def position_features(frames: DepthFrames, order: int = 6) -> Tensor:
    """(K, order^2 - 1) features of all labelled pixels that depend on their position in the image only.

    The first ``order`` x ``order`` functions of the two-dimensional cosine transform, which can
    approach any smooth function of the pixel; less the constant one, as the probe has an intercept.
    """
    frequencies = math.pi * torch.arange(order, dtype=torch.float64)
    rows = []
    for item in frames:
        height, width = item.image.shape[1:]
        place = (item.pixels + 0.5) / item.pixels.new_tensor([width, height])
        u, v = torch.cos(place[..., None] * frequencies).unbind(1)
        rows.append((u[:, :, None] * v[:, None]).flatten(1)[:, 1:])
    return torch.cat(rows)
