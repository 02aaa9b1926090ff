"""What augmentation did to a frame, read from its matrices alone."""
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..geometry import invert_matrix, mirror_matrix


class ImageAugmentation(NamedTuple):
    """An image augmentation as: flip (if any), then scale, then a rotation, then what was cropped.

    ``scale_x``, ``scale_y``; ``angle`` in degrees, clockwise as seen; ``flipped``; ``window`` as
    (u0, v0, u1, v1): the part of the original image that is shown, in its pixels and clipped to it.
    """
    scale_x: float
    scale_y: float
    angle: float
    flipped: bool
    window: tuple[float, float, float, float]


class PointAugmentation(NamedTuple):
    """A second view as: mirror y (if ``mirrored``), then rotate about z, then scale, then shift.

    ``angle`` in degrees, counter-clockwise from above; ``origin`` (x, y, z): where the first view's
    origin went, in metres.
    """
    scale: float
    angle: float
    mirrored: bool
    origin: tuple[float, float, float]


def split_image_augmentation(matrix: np.ndarray, ori_shape: Sequence[int],
                             img_shape: Sequence[int]) -> ImageAugmentation:
    """Decompose ``img_aug_matrix`` (4, 4) into what it did to an image.

    Args:
        matrix: (4, 4).
        ori_shape: Height and width before.
        img_shape: Height and width after.
    """
    linear = np.array(matrix[:2, :2], dtype=np.float64)
    flipped = np.linalg.det(linear) < 0
    if flipped:
        linear = linear @ np.diag([-1, 1])
    height, width = img_shape
    corners = np.array([[u, v, 1, 1] for u in (-0.5, width - 0.5) for v in (-0.5, height - 0.5)])
    shown = (corners @ invert_matrix(matrix, 'img_aug_matrix').T)[:, :2] + 0.5
    limits = np.array(ori_shape)[::-1]
    window = (*shown.min(0).clip(0, limits), *shown.max(0).clip(0, limits))
    scale_x, scale_y = np.linalg.norm(linear, axis=0)
    return ImageAugmentation(scale_x, scale_y, np.degrees(np.arctan2(linear[1, 0], linear[0, 0])),
                             bool(flipped), window)


def split_point_augmentation(matrix: np.ndarray) -> PointAugmentation:
    """Decompose ``lidar_aug_matrix`` (4, 4) into what it did to the cloud."""
    linear = np.array(matrix[:3, :3], dtype=np.float64)
    determinant = np.linalg.det(linear)
    if determinant < 0:
        linear = linear @ mirror_matrix('y')[:3, :3]
    return PointAugmentation(abs(determinant)**(1 / 3),
                             np.degrees(np.arctan2(linear[1, 0], linear[0, 0])),
                             bool(determinant < 0), tuple(matrix[:3, 3]))


def describe_image_augmentation(matrix: np.ndarray, ori_shape: Sequence[int],
                                img_shape: Sequence[int]) -> str:
    """One line such as 'scale 0.62, flipped, crop u 12-384 v 0-120 of 384 x 128'.

    Args: see ``split_image_augmentation``. Changes of colour leave no trace in the matrix.
    """
    found = split_image_augmentation(matrix, ori_shape, img_shape)
    same = abs(found.scale_x - found.scale_y) < 0.01 * found.scale_x
    parts = [f'scale {found.scale_x:.2f}' + ('' if same else f' x {found.scale_y:.2f}')]
    if abs(found.angle) > 0.05:
        side = 'clockwise' if found.angle > 0 else 'anticlockwise'
        parts.append(f'rotated {abs(found.angle):.1f}° {side}')
    parts.append('flipped' if found.flipped else 'not flipped')
    height, width = ori_shape
    u0, v0, u1, v1 = np.rint(found.window).astype(int)
    whole = (u0, v0, u1, v1) == (0, 0, width, height)
    parts.append('not cropped' if whole else f'crop u {u0}-{u1} v {v0}-{v1} of {width} x {height}')
    return ', '.join(parts)


def describe_point_augmentation(matrix: np.ndarray) -> str:
    """One line such as 'rotated +37.1° about z, scale 0.93, mirrored'; ``matrix`` (4, 4)."""
    found = split_point_augmentation(matrix)
    origin = ', '.join(f'{value:.1f}' for value in found.origin)
    return (f'rotated {found.angle:+.1f}° about z, scale {found.scale:.2f}, '
            f'{"mirrored" if found.mirrored else "not mirrored"}, origin to ({origin}) m')
