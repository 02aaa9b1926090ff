"""Images that were resized after they had been calibrated: their size against what the calibration says."""
import math
from typing import NamedTuple

import numpy as np

from ...errors import DataError


class Size(NamedTuple):
    """In pixels."""
    width: float
    height: float


# Of each of KITTI's five days of recording: focal length and principal point (in pixels) of the rectified colour
# cameras, and the size of their images. The object, tracking and odometry sets are taken from these days.
KITTI_SIZES = {
    (721.5377, 609.5593, 172.8540): Size(1242, 375),
    (707.0493, 604.0814, 180.5066): Size(1224, 370),
    (718.3351, 600.3891, 181.5122): Size(1238, 374),
    (707.0912, 601.8873, 183.1104): Size(1226, 370),
    (718.8560, 607.1928, 185.2157): Size(1241, 376),
}


# Of the side of an image; a pinhole camera with less would see 157 degrees.
MIN_FOCAL_LENGTH = 0.1


def is_too_short(focal_length: float, side: float) -> bool:
    """Whether this is the focal length of no camera with an image of this side, both in pixels."""
    return focal_length < MIN_FOCAL_LENGTH * side


def check_recorded_size(size: dict, recorded: Size, image: str, recorded_as: str) -> None:
    """Refuse an image whose size is not the one that its calibration file records.

    Args:
        size: ``dict(height, width)`` of the image.
        recorded: In the calibration file.
        image: Path of the image.
        recorded_as: Where the calibration file says so, for the message.

    Raises:
        DataError: The sizes differ; gives the factor.
    """
    if (size['width'], size['height']) != recorded:
        raise _resized(size, recorded, image, f'{recorded_as} says {recorded.width:g} x {recorded.height:g}',
                       ', and that size to match')


def check_against_intrinsics(size: dict, cam2img: np.ndarray, image: str, calibration: str) -> None:
    """Refuse an image that its intrinsics show to have been resized, where no file records its size.

    KITTI's own calibrations are known. Of any other, the principal point is near the middle of the image that was
    calibrated: an image is refused if that is off by more than a quarter in both axes, by about the same factor.
    Cropping at the right and at the bottom keeps a calibration valid, and is accepted.

    Args:
        size: ``dict(height, width)`` of the image.
        cam2img: (4, 4).
        image: Path of the image.
        calibration: What to call the matrix in the message.

    Raises:
        DataError: The image was resized; gives the factor. Or the matrix is not in pixels.
    """
    known = _kitti_size(cam2img)
    if known:
        if _is_scaled(size['width'] / known.width, size['height'] / known.height):
            raise _resized(size, known, image, f'{calibration} is for {known.width} x {known.height}')
        return
    if is_too_short(cam2img[0, 0], size['width']) or is_too_short(cam2img[1, 1], size['height']):
        raise DataError(f'{image}: {size["width"]} x {size["height"]} pixels, but the focal lengths of {calibration} '
                        f'are {cam2img[0, 0]:.4g} and {cam2img[1, 1]:.4g}; expected pixels of this image. Multiply the '
                        'first two rows of the matrix by the width and the height if it is normalised by them, by the '
                        'pixels per millimetre if it is in millimetres')
    centre_x, centre_y = cam2img[0, 2], cam2img[1, 2]
    if centre_x <= 0 or centre_y <= 0:
        return  # of an image that was cut
    middle = Size(2 * centre_x + 1, 2 * centre_y + 1)  # pixel 0 is a centre
    x, y = size['width'] / middle.width, size['height'] / middle.height
    if (min(x, y) > 1.25 or max(x, y) < 0.8) and 1 / 1.2 < x / y < 1.2:
        raise DataError(
            f'{_is_resized(size, image, f"a factor of about {(x * y) ** 0.5:.2f}")}, but the principal point of '
            f'{calibration} is ({centre_x:.0f}, {centre_y:.0f}), the middle of about {middle.width:.0f} x '
            f'{middle.height:.0f}. Take the images of the original size; or, if they were resized, multiply the first '
            f'row of the projection matrix by {size["width"]} / (original width) and the second by {size["height"]} / '
            '(original height)')


def _kitti_size(cam2img: np.ndarray) -> Size | None:
    found = cam2img[0, 0], cam2img[0, 2], cam2img[1, 2]
    for intrinsics, size in KITTI_SIZES.items():
        if np.allclose(found, intrinsics, rtol=0, atol=1e-3):
            return size
    return None


def _is_scaled(x: float, y: float) -> bool:
    """Whether these factors are of a resized image, and not of one that was cut or padded."""
    x, y = math.log(x), math.log(y)
    if x * y <= 0 or min(abs(x), abs(y)) < 0.02:
        return False
    return min(abs(x), abs(y)) > 0.2 or abs(x - y) < 0.35 * abs(x + y) / 2


def _resized(size: dict, calibrated: Size, image: str, reason: str, and_also: str = '') -> DataError:
    x, y = size['width'] / calibrated.width, size['height'] / calibrated.height
    same = abs(x - y) < 0.03 * max(x, y)
    factor = f'a factor of {(x * y) ** 0.5:.3g}' if same else f'factors of {x:.3g} in x and {y:.3g} in y'
    return DataError(
        f'{_is_resized(size, image, factor)}, but {reason}. Take the images of the original size; or, if they were '
        f'resized, multiply the first row of the projection matrix by {x:.6g} and the second by {y:.6g}{and_also}')


def _is_resized(size: dict, image: str, factor: str) -> str:
    return (f'{image}: the image has another size than the calibration, by {factor}: it is {size["width"]} x '
            f'{size["height"]} pixels')
