"""Pictures: LiDAR points over images, and several pictures on one sheet. Images are BGR uint8 arrays."""
import math
from typing import Optional, Sequence

import cv2
import numpy as np

GAP = 4  # pixels between the pictures of a sheet
TITLE_HEIGHT = 20


def depth_colours(depth: np.ndarray, max_depth: float = 60.0) -> np.ndarray:
    """Colours (N, 3) of depths (N,) in metres: red is near, blue is ``max_depth`` and beyond.

    The scale is logarithmic, so that near surfaces, where most points are, can be told apart.
    """
    near = 2.0
    position = np.log(np.maximum(depth, near) / near) / np.log(max_depth / near)
    levels = (255 * (1 - np.clip(position, 0, 1))).astype(np.uint8)
    return cv2.applyColorMap(levels.reshape(-1, 1), cv2.COLORMAP_TURBO)[:, 0]


def draw_lidar_overlay(image: np.ndarray,
                       pixels: np.ndarray,
                       depth: np.ndarray,
                       max_depth: float = 60.0,
                       radius: Optional[int] = None) -> np.ndarray:
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
    canvas = image.copy()
    radius = max(1, round(image.shape[1] / 640)) if radius is None else radius
    far_to_near = np.argsort(-depth)
    colours = depth_colours(depth, max_depth)
    for i in far_to_near:
        centre = tuple(int(round(x)) for x in pixels[i])
        cv2.circle(canvas, centre, radius, colours[i].tolist(), thickness=-1)
    return canvas


def contact_sheet(images: Sequence[np.ndarray],
                  titles: Sequence[str] = (),
                  columns: int = 2,
                  cell_width: int = 640) -> np.ndarray:
    """Put pictures of any size on one sheet, row by row, each with a title above.

    Args:
        images: Pictures (H, W, 3).
        titles: One for each picture, or none at all.
        columns: Pictures in a row.
        cell_width: Width in pixels that each picture is scaled to.

    Returns:
        The sheet (H, W, 3).
    """
    titles = list(titles) or [''] * len(images)
    cells = [_cell(image, title, cell_width) for image, title in zip(images, titles, strict=True)]
    rows = [cells[i:i + columns] for i in range(0, len(cells), columns)]
    heights = [max(cell.shape[0] for cell in row) for row in rows]
    sheet = np.full((sum(heights) + GAP * len(rows), columns * (cell_width + GAP), 3), 255, np.uint8)
    top = 0
    for row, height in zip(rows, heights):
        for column, cell in enumerate(row):
            left = column * (cell_width + GAP)
            sheet[top:top + cell.shape[0], left:left + cell_width] = cell
        top += height + GAP
    return sheet


def _cell(image: np.ndarray, title: str, width: int) -> np.ndarray:
    height = math.ceil(image.shape[0] * width / image.shape[1])
    resized = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    if not title:
        return resized
    header = np.full((TITLE_HEIGHT, width, 3), 255, np.uint8)
    cv2.putText(header, title, (4, TITLE_HEIGHT - 6), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1,
                cv2.LINE_AA)
    return np.concatenate([header, resized])
