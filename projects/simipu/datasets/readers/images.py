"""Decode images as they are stored, and refuse what would be read as something else."""
import os
from typing import BinaryIO, NamedTuple

import cv2
import mmcv
import numpy as np
from PIL import Image

from ...errors import DataError
from ...files import open_regular, refuse_lfs_pointer

MAX_PIXELS = 2 ** 27  # more than any camera on a vehicle has; 0.4 GB when decoded
MIN_LEVELS = 32  # of grey, with which an image is worth training on

_FORMATS = ('JPEG', 'PNG', 'BMP', 'DIB', 'TIFF', 'WEBP', 'PPM', 'JPEG2000')  # that OpenCV decodes
_ORIENTATION_TAG = 0x0112
_END_MARKERS = {'JPEG': b'\xff\xd9', 'MPO': b'\xff\xd9', 'PNG': b'IEND'}
_TAIL = 4096  # bytes, in which the end marker is as a rule
# What brings the stored pixels upright, by EXIF orientation.
_UPRIGHT = {
    1: lambda image: image,
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    4: lambda image: image[::-1],
    5: lambda image: image.swapaxes(0, 1),
    6: lambda image: np.rot90(image, -1),
    7: lambda image: image[::-1, ::-1].swapaxes(0, 1),
    8: lambda image: np.rot90(image),
}


class ImageHeader(NamedTuple):
    """What an image says about itself.

    Attributes:
        kind: 'JPEG', 'PNG', ...
        height: Pixels as they are stored.
        width: The same.
        orientation: Of EXIF; 1: upright as stored, 5 to 8: on its side.
    """
    kind: str
    height: int
    width: int
    orientation: int

    @property
    def upright_size(self) -> tuple[int, int]:
        """Height and width after turning by ``orientation``."""
        size = self.height, self.width
        return size[::-1] if self.orientation >= 5 else size


def read_image_header(path: str, file: BinaryIO) -> ImageHeader:
    """Kind, size and orientation, without decoding.

    Raises:
        DataError: There is no image header, or one that claims an absurd size.
    """
    try:
        with Image.open(file, formats=_FORMATS) as image:
            exif = image.getexif() if 'exif' in image.info else {}
            orientation = exif.get(_ORIENTATION_TAG, 1)
            header = ImageHeader(image.format, image.height, image.width,
                                 orientation if orientation in _UPRIGHT else 1)
            if image.width * image.height > MAX_PIXELS:
                raise Image.DecompressionBombError(f'{image.width} x {image.height} pixels')
    except Image.DecompressionBombError as error:  # Pillow's own limit may be lifted by other packages
        raise DataError(f'{path}: its header claims an absurd size ({error}); copy the file again') from None
    except Exception as error:  # of any of Pillow's parsers
        file.seek(0)
        refuse_lfs_pointer(path, file.read(200))
        num_bytes = file.seek(0, 2)
        raise DataError(f'{path}: expected an image, but it cannot be decoded ({num_bytes} bytes, without the header '
                        'of an image); copy the file again') from error
    return header


def decode_image(path: str,
                 content: bytes,
                 header: ImageHeader,
                 size: tuple[int, int] | None = None,
                 bit_depth: int | None = None,
                 apply_exif: bool = False,
                 backend: str = 'cv2') -> np.ndarray:
    """The pixels of an image.

    Args:
        path: For messages.
        content: Of the file.
        header: Of ``read_image_header``.
        size: Height and width it must have, compared before anything is decoded.
        bit_depth: Of images that store 16 bits: how many of them are in use, of which the upper 8 are taken.
        apply_exif: Whether to turn the image upright as EXIF says. By default pixels stay as they are stored, for
            which cameras are calibrated as a rule.
        backend: Decoder of JPEG: 'cv2' or 'turbojpeg'.

    Returns:
        (H, W, 3) uint8, BGR: grey is repeated, palettes are resolved, an alpha channel is left out.

    Raises:
        DataError: It is no image, is damaged, ends early, has another size than ``size``, or stores more than 8 bits
            without or against ``bit_depth``.
    """
    _check_size(path, header, size, apply_exif)
    _check_end(path, header.kind, content)
    try:
        if header.kind in ('JPEG', 'MPO'):
            image = mmcv.imfrombytes(content, flag='color_ignore_orientation', backend=backend)
        else:
            image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    except Exception as error:  # of any decoder
        raise DataError(f'{path}: cannot be decoded ({len(content)} bytes; {error}); copy the file again') from error
    if image is None:
        raise DataError(f'{path}: cannot be decoded ({len(content)} bytes, {header.kind}); copy the file again, or '
                        'write the image as PNG if OpenCV does not read that format')
    if image.shape[:2] != (header.height, header.width):
        raise DataError(f'{path}: its header says {header.width} x {header.height} pixels, but {image.shape[1]} x '
                        f'{image.shape[0]} were decoded; copy the file again')
    image = _to_bgr(_to_8_bits(path, image, bit_depth))
    return np.ascontiguousarray(_UPRIGHT[header.orientation](image)) if apply_exif else image


def _check_size(path: str, header: ImageHeader, size: tuple[int, int] | None, apply_exif: bool) -> None:
    """Raise a DataError if the image has not the (height, width) that the info file says."""
    stored = header.height, header.width
    if size is None or tuple(size) in ((stored, header.upright_size) if apply_exif else (stored, )):
        return
    message = (f'{path}: the info file says {size[1]} x {size[0]} pixels, the image has {header.width} x '
               f'{header.height}; the calibration would not fit. ')
    if tuple(size) == header.upright_size:
        message += (f'Its EXIF orientation {header.orientation} would turn it to that size, but pixels are used as '
                    'stored. If the camera was calibrated with turned images: '
                    '--cfg-options load_images.apply_exif=True, or apply_exif=true of the image in your frames')
    else:
        message += ('Use the images that the info file was written for. Or multiply the first row of the projection '
                    f'matrix by {header.width / size[1]:.6g} and the second by {header.height / size[0]:.6g}, and '
                    'write the info file anew')
    raise DataError(message)


def check_image_file(path: str) -> ImageHeader:
    """The header of an image on disk, after a look at its end; nothing is decoded.

    Raises:
        DataError: There is no image header, it claims an absurd size, or the file ends early.
    """
    with open_regular(path) as file:
        header = read_image_header(path, file)
        file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
        if _END_MARKERS.get(header.kind, b'') not in file.read():
            file.seek(0)
            _check_end(path, header.kind, file.read())
    return header


def _check_end(path: str, kind: str, content: bytes) -> None:
    """Raise a DataError if the end marker of a JPEG or PNG is missing. Whatever may follow it does not matter."""
    if kind not in _END_MARKERS:
        return
    # A JPEG's thumbnail has an end marker too.
    start = 0 if kind == 'PNG' else _start_of_scan(content)
    if content.rfind(_END_MARKERS[kind]) < start:
        raise DataError(f'{path}: cannot be decoded: the file ends early, its end of image was never written '
                        f'({len(content)} bytes); copy it again')


def _start_of_scan(content: bytes) -> int:
    """Where a JPEG's compressed pixels begin; earlier end markers are those of a thumbnail."""
    position = 2
    while position + 4 <= len(content) and content[position] == 0xff:
        marker = content[position + 1]
        if marker == 0xda:
            return position
        # A marker may be preceded by any number of fill bytes.
        position += 1 if marker == 0xff else 2 + int.from_bytes(content[position + 2:position + 4], 'big')
    return position  # there are bytes between the segments, which decoders skip


def _to_8_bits(path: str, image: np.ndarray, bit_depth: int | None) -> np.ndarray:
    if image.dtype == np.uint8:
        return image
    if image.dtype != np.uint16:
        raise DataError(f'{path}: expected 8 or 16 bits per value, found {image.dtype}; write it anew with 8 bits')
    highest = int(image.max())
    needed = max(highest.bit_length(), 8)
    advised = needed + needed % 2  # cameras have 8, 10, 12, 14 or 16, and others of their images may be brighter
    if bit_depth is None:
        levels = ((highest - int(image.min())) >> (needed - 8)) + 1
        remedy = ('Say how many bits your camera has, to keep the upper 8 of them: --cfg-options '
                  f'load_images.bit_depth={advised}, or bit_depth={advised} of the image in your frames')
        if levels < MIN_LEVELS:
            remedy += (f'. Its upper 8 bits have {levels} grey levels only; if all images are like that, as those of '
                       'thermal cameras are, write them anew with 8 bits, one range of values for all of them')
        raise DataError(f'{path}: 16 bits per value, from {image.min()} to {highest}. {remedy}')
    if needed > bit_depth:
        raise DataError(f'{path}: bit_depth={bit_depth}, but its values go up to {highest}; set '
                        f'load_images.bit_depth={advised}, or that of the image in your frames')
    return (image >> (bit_depth - 8)).astype(np.uint8)


def _to_bgr(image: np.ndarray) -> np.ndarray:
    channels = 1 if image.ndim == 2 else image.shape[2]
    if channels == 1:
        return cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    return image if channels == 3 else np.ascontiguousarray(image[..., :3])
