"""Dots, lines and heat maps over images. Pixels are (u, v); whole numbers are centres of pixels."""

import cv2
import numpy as np

from .colours import FAR, depth_colours, share_colours


def draw_dots(image: np.ndarray, pixels: np.ndarray, colours: np.ndarray,
              radius: int = 1) -> np.ndarray:
    """Draw dots over an image, later ones on top.

    Args:
        image: (H, W, 3).
        pixels: (N, 2) as (u, v).
        colours: (N, 3) or (3,).
        radius: In pixels.

    Returns:
        A new image (H, W, 3).
    """
    canvas = image.copy()
    centres = np.rint(pixels).astype(int).tolist()
    for centre, colour in zip(centres, np.broadcast_to(colours, (len(centres), 3)).tolist()):
        cv2.circle(canvas, centre, radius, colour, thickness=-1)
    return canvas


def draw_segments(image: np.ndarray, start: np.ndarray, end: np.ndarray, colours: np.ndarray,
                  thickness: int = 1) -> np.ndarray:
    """Draw lines from pixels ``start`` (N, 2) to ``end`` (N, 2); colours (N, 3) or (3,)."""
    canvas = image.copy()
    ends = np.rint(np.concatenate([start, end], axis=1)).astype(int).tolist()
    for (u0, v0, u1, v1), colour in zip(ends, np.broadcast_to(colours, (len(ends), 3)).tolist()):
        cv2.line(canvas, (u0, v0), (u1, v1), colour, thickness, cv2.LINE_AA)
    return canvas


def draw_lidar_overlay(image: np.ndarray,
                       pixels: np.ndarray,
                       depth: np.ndarray,
                       max_depth: float = FAR,
                       radius: int | None = None) -> np.ndarray:
    """Draw points over an image, coloured by depth, near ones on top.

    Args:
        image: (H, W, 3).
        pixels: (N, 2) as (u, v), of the visible points only.
        depth: (N,) in metres.
        max_depth: Depth in metres at which the colours end.
        radius: Of a dot, in pixels; by default it grows with the image.

    Returns:
        A new image (H, W, 3).
    """
    radius = max(1, round(image.shape[1] / 640)) if radius is None else radius
    far_to_near = np.argsort(-depth)
    colours = depth_colours(depth[far_to_near], max_depth)
    return draw_dots(image, pixels[far_to_near], colours, radius)


def draw_cross(image: np.ndarray, pixel: np.ndarray, size: int = 18) -> np.ndarray:
    """Mark one pixel (u, v) by a white cross with a black rim."""
    canvas = image.copy()
    centre = np.rint(pixel).astype(int).tolist()
    for colour, thickness in (((0, 0, 0), 5), ((255, 255, 255), 2)):
        cv2.drawMarker(canvas, centre, colour, cv2.MARKER_CROSS, size, thickness)
    return canvas


def blend_heat_map(image: np.ndarray, heat: np.ndarray, alpha: float = 0.6) -> np.ndarray:
    """Lay a map of shares (H, W), blue 0 to red 1, over the grey version of an image (H, W, 3)."""
    colours = share_colours(heat.ravel()).reshape(image.shape)
    return cv2.addWeighted(colours, alpha, _grey(image), 1 - alpha, 0)


def fade(image: np.ndarray) -> np.ndarray:
    """A pale grey version of an image (H, W, 3), on which coloured marks stand out."""
    return 128 + _grey(image) // 2


def _grey(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)


def zoom(image: np.ndarray, pixels: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Scale an image to a width, and the pixels (..., 2) in it along.

    What is drawn afterwards has lines and dots of the same size on every image.
    """
    height = max(1, round(image.shape[0] * width / image.shape[1]))
    scale = np.array([width / image.shape[1], height / image.shape[0]])
    mode = cv2.INTER_AREA if width < image.shape[1] else cv2.INTER_LINEAR
    return cv2.resize(image, (width, height), interpolation=mode), (pixels + 0.5) * scale - 0.5
