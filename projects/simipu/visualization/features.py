"""Feature maps as pictures: principal components as colours, similarities as heat."""
from collections.abc import Sequence

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


class PCAColours:
    """Colours features by their first three principal components: alike features, alike colours.

    The same colours hold for every feature map that is coloured by the same object. Each component
    runs from dark to bright over the central 96 % of the features that it was fitted to.

    Args:
        features: (K, C), those to fit to.
    """

    def __init__(self, features: Tensor) -> None:
        features = features.double()
        self.mean = features.mean(0)
        directions = torch.linalg.svd(features - self.mean, full_matrices=False)[2][:3]
        # The sign of a singular vector is arbitrary: let its largest entry be positive.
        largest = directions.gather(1, directions.abs().argmax(1, keepdim=True))
        self.directions = directions * largest.sign()
        projected = self.project(features)
        self.low = projected.quantile(0.02, dim=0)
        self.high = projected.quantile(0.98, dim=0)

    def project(self, features: Tensor) -> Tensor:
        """(K, C) features -> (K, 3) components (fewer where the features fitted have fewer)."""
        return (features.double() - self.mean) @ self.directions.T

    def __call__(self, features: Tensor) -> np.ndarray:
        """(K, C) features -> (K, 3) BGR uint8; the first component is red, the second green."""
        span = (self.high - self.low).clamp(min=1e-12)
        shares = ((self.project(features) - self.low) / span).clamp(0, 1)
        shares = F.pad(shares, (0, 3 - shares.shape[1]))
        return (255 * shares.flip(1)).round().byte().cpu().numpy()


def cosine_similarity(query: Tensor, keys: Tensor) -> Tensor:
    """Cosine of one embedding (D,) with others (..., D), as (...,)."""
    return F.normalize(keys.float(), dim=-1) @ F.normalize(query.float(), dim=0)


def upsample_to_image(cells: np.ndarray, input_shape: Sequence[int], img_shape: Sequence[int]
                      ) -> np.ndarray:
    """Enlarge a map of cells to its image, linear between the cells' centres.

    Args:
        cells: (h, w) or (h, w, C), uint8 or float32.
        input_shape: Height and width of the network's input, padding included.
        img_shape: Height and width of the image without padding.

    Returns:
        (H, W) or (H, W, C) of ``img_shape``.
    """
    height, width = input_shape
    enlarged = cv2.resize(cells, (width, height), interpolation=cv2.INTER_LINEAR)
    return enlarged[:img_shape[0], :img_shape[1]]
