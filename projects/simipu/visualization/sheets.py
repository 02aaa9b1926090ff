"""Several pictures on one sheet, with text that can be read."""
import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..files import write_whole

GAP = 6
"""Pixels between the pictures of a sheet."""
TEXT_SIZE = 14
WHITE, GREY, BLACK = 255, 90, 0


def draw_text(image: np.ndarray, text: str, left: int, top: int, size: int = TEXT_SIZE,
              grey: int = BLACK, bold: bool = False, centred: bool = False) -> None:
    """Write a line of text into ``image`` (H, W, 3), in place.

    Args:
        left, top: Corner of the text in pixels; with ``centred``, ``left`` is its middle. It is
            moved as far as needed to stay inside the image.
        size: Height of a line in pixels.
        grey: Level of the text's colour, 0 is black.
    """
    font = _font(size, bold)
    length = font.getlength(text)
    left = left - length / 2 if centred else left
    left = max(0, min(left, image.shape[1] - length))
    canvas = Image.fromarray(image)
    ImageDraw.Draw(canvas).text((left, top), text, (grey, ) * 3, font)
    image[...] = np.asarray(canvas)


def captioned(image: np.ndarray, caption: str) -> np.ndarray:
    """``image`` (H, W, 3) below its caption: first line bold, long lines wrapped at its width."""
    title, *notes = caption.split('\n')
    width = image.shape[1] - 8
    lines = [(line, True) for line in _wrap(title, width, bold=True)]
    lines += [(line, False) for note in notes for line in _wrap(note, width, bold=False)]
    step = TEXT_SIZE + 4
    header = np.full((step * len(lines) + 4, image.shape[1], 3), WHITE, np.uint8)
    for i, (line, bold) in enumerate(lines):
        draw_text(header, line, 4, i * step + 1, grey=BLACK if bold else GREY, bold=bold)
    return np.concatenate([header, image])


def vstack(pictures: Sequence[np.ndarray], gap: int = GAP) -> np.ndarray:
    """Pictures one below the other, flush left on white."""
    sheet = np.full((sum(p.shape[0] + gap for p in pictures) - gap,
                     max(p.shape[1] for p in pictures), 3), WHITE, np.uint8)
    top = 0
    for picture in pictures:
        sheet[top:top + picture.shape[0], :picture.shape[1]] = picture
        top += picture.shape[0] + gap
    return sheet


def hstack(pictures: Sequence[np.ndarray], gap: int = GAP) -> np.ndarray:
    """Pictures side by side, flush at the bottom (captions may differ in height) on white."""
    sheet = np.full((max(p.shape[0] for p in pictures),
                     sum(p.shape[1] + gap for p in pictures) - gap, 3), WHITE, np.uint8)
    left = 0
    for picture in pictures:
        sheet[sheet.shape[0] - picture.shape[0]:, left:left + picture.shape[1]] = picture
        left += picture.shape[1] + gap
    return sheet


def contact_sheet(images: Sequence[np.ndarray],
                  titles: Sequence[str] = (),
                  columns: int = 2,
                  cell_width: int = 640) -> np.ndarray:
    """Put pictures of any size on one sheet, row by row, each with a caption above.

    Args:
        images: Pictures (H, W, 3).
        titles: One caption for each picture (see ``captioned``), or none at all.
        columns: Pictures in a row.
        cell_width: Width in pixels that each picture is scaled to.

    Returns:
        The sheet (H, W, 3).
    """
    titles = list(titles) or [''] * len(images)
    cells = [_cell(image, title, cell_width) for image, title in zip(images, titles, strict=True)]
    return vstack([hstack(cells[i:i + columns]) for i in range(0, len(cells), columns)])


def write_png(image: np.ndarray, path: str | os.PathLike) -> Path:
    """Write ``image`` (H, W, 3), making its folder if need be, and return the path.

    Raises:
        OutputError: It cannot be written there.
    """
    write_whole(path, cv2.imencode('.png', image, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].tobytes())
    return Path(path)


def _cell(image: np.ndarray, title: str, width: int) -> np.ndarray:
    if image.shape[1] != width:
        height = max(1, round(image.shape[0] * width / image.shape[1]))
        shrinks = width < image.shape[1]
        image = cv2.resize(image, (width, height),
                           interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return captioned(image, title) if title else image


@lru_cache
def _font(size: int, bold: bool) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib; OpenCV's letters are hard to read when small."""
    from matplotlib import font_manager  # here, as other commands need not wait for it

    weight = 'bold' if bold else 'normal'
    path = font_manager.findfont(font_manager.FontProperties(family='DejaVu Sans', weight=weight))
    return ImageFont.truetype(path, size - 1)


def _wrap(text: str, width: float, bold: bool) -> list[str]:
    """Lines of whole words that fit into ``width`` pixels."""
    lines = ['']
    for word in text.split(' '):
        longer = f'{lines[-1]} {word}'.strip()
        if lines[-1] and _font(TEXT_SIZE, bold).getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines
