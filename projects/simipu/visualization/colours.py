"""What colour a number gets; colours are (N, 3) BGR uint8."""
from collections.abc import Callable, Sequence

import cv2
import numpy as np

from .sheets import draw_text

NEAR = 2.0
"""Depth in metres at which the colours of depth start."""
FAR = 60.0
"""Depth in metres at which the colours of depth end."""
TURBO = cv2.applyColorMap(np.arange(256, dtype=np.uint8), cv2.COLORMAP_TURBO)[:, 0]


def share_colours(shares: np.ndarray) -> np.ndarray:
    """Colours (N, 3) of shares (N,): blue is 0 and below, red is 1 and above."""
    levels = (255 * np.clip(shares, 0, 1)).astype(np.uint8)
    return TURBO[levels]


def depth_colours(depth: np.ndarray, max_depth: float = FAR) -> np.ndarray:
    """Colours (N, 3) of depths (N,) in metres: red is near, blue is ``max_depth`` and beyond.

    The scale is logarithmic, so that near surfaces, where most points are, can be distinguished.
    """
    position = np.log(np.maximum(depth, NEAR) / NEAR) / np.log(max_depth / NEAR)
    return share_colours(1 - position)


def hue_colours(count: int) -> np.ndarray:
    """``count`` colours (count, 3) around the circle of hues."""
    hsv = np.full((count, 1, 3), 220, np.uint8)
    hsv[:, 0, 0] = np.arange(count) * 180 // max(count, 1)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR).reshape(-1, 3)


def depth_bar(width: int) -> np.ndarray:
    """The legend of ``depth_colours``, ``width`` pixels wide."""
    return colour_bar(depth_colours, np.geomspace(NEAR, FAR, width), (2, 4, 8, 15, 30, 60), ' m')


def colour_bar(colours: Callable[[np.ndarray], np.ndarray], values: np.ndarray,
               ticks: Sequence[float], unit: str = '', height: int = 34) -> np.ndarray:
    """A legend: the colours of ``values``, one a column, with some of them written below.

    Args:
        colours: Maps (W,) numbers to (W, 3) colours.
        values: (W,) ascending.
        ticks: Numbers to write, each within ``values``.
        unit: Written behind each.
        height: Of the picture, in pixels.

    Returns:
        (height, W, 3).
    """
    bar = np.full((height, len(values), 3), 255, np.uint8)
    bar[:height - 20] = colours(np.asarray(values))
    for tick in ticks:
        column = int(np.searchsorted(values, tick).clip(0, len(values) - 1))
        bar[height - 20:height - 16, column] = 0
        draw_text(bar, f'{tick:g}{unit}', column, height - 17, size=12, centred=True)
    return bar
