"""Images of every kind: damaged files, and headers that claim other sizes."""
import struct
import zlib
from collections.abc import Iterator
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
import samples
from mutations import damaged
from outcomes import Case
from PIL import Image

from simipu.datasets.readers import check_image_file, decode_image, read_image_header

SUFFIXES = ('.png', '.jpg', '.bmp', '.tiff', '.webp', '.ppm')
# Formats of which Pillow's decoder gives the same pixels. Only in PNG files does something tell that a bit was flipped.
_LOSSLESS = ('.png', '.bmp', '.tiff', '.ppm')


def read(content: bytes, suffix: str, folder: Path, size: tuple[int, int] | None = samples.IMAGE_SIZE) -> np.ndarray:
    """The pixels, as training reads them, after a look as converters have it."""
    path = folder / f'a{suffix}'
    path.write_bytes(content)
    check_image_file(str(path))
    return decode_image(str(path), content, read_image_header(str(path), BytesIO(content)), size)


def _as_pillow(content: bytes, suffix: str, found: np.ndarray) -> str | None:
    """Accepted is what another decoder reads, too."""
    if found.shape != (*samples.IMAGE_SIZE, 3) or found.dtype != np.uint8:
        return f'the shape {found.shape}'
    if suffix not in _LOSSLESS:
        return None
    expected = np.asarray(Image.open(BytesIO(content)).convert('RGB'))[..., ::-1]
    return None if np.array_equal(found, expected) else f'{np.count_nonzero(found != expected)} values differ'


def _png(width: int, height: int, depth: int = 8, colours: int = 2, body: bytes = b'') -> bytes:
    header = struct.pack('>IIBBBBB', width, height, depth, colours, 0, 0, 0)
    chunks = (b'IHDR', header), (b'IDAT', zlib.compress(body)), (b'IEND', b'')
    return b'\x89PNG\r\n\x1a\n' + b''.join(struct.pack('>I', len(data)) + kind + data
                                           + struct.pack('>I', zlib.crc32(kind + data)) for kind, data in chunks)


def _claims() -> Iterator[Case]:
    for width, height in ((60000, 60000), (20000, 20000), (0, 0), (2**31 - 1, 1), (1, 2**31 - 1), (41, 20), (20, 40)):
        for size in (samples.IMAGE_SIZE, None):
            named = 'with' if size else 'without'
            yield Case('images', f'png that claims {width} x {height}, {named} size in the info file',
                       partial(read, _png(width, height), '.png', size=size))
    for width, height in ((60000, 60000), (-40, 20), (40, -20), (0, 20), (80, 40)):
        bmp = bytearray(samples.picture('.bmp'))
        bmp[18:26] = struct.pack('<ii', width, height)
        # A negative height says that the rows are stored from the top.
        judge = partial(_as_pillow, bytes(bmp), '.bmp') if (width, height) == (40, -20) else None
        case = Case('images', f'bmp that claims {width} x {height}', partial(read, bytes(bmp), '.bmp'))
        yield case._replace(judge=judge) if judge else case
        ppm = f'P6 {width} {height} 255\n'.encode() + bytes(2400)
        yield Case('images', f'ppm that claims {width} x {height}', partial(read, ppm, '.ppm'))
    jpeg = samples.picture('.jpg')
    frame = jpeg.index(b'\xff\xc0') + 5
    for height, width in ((65535, 65535), (0, 0), (40, 20), (20, 41)):
        content = jpeg[:frame] + struct.pack('>HH', height, width) + jpeg[frame + 4:]
        yield Case('images', f'jpeg that claims {width} x {height}', partial(read, content, '.jpg'))
    for depth, colours in ((16, 2), (3, 2), (8, 7), (16, 0)):
        yield Case('images', f'png of {depth} bits and colour type {colours}',
                   partial(read, _png(40, 20, depth, colours, bytes(20 * 241)), '.png'))


def cases(seed: int = 0) -> Iterator[Case]:
    """All cases of this kind."""
    for suffix in SUFFIXES:
        for name, content in damaged(samples.picture(suffix), seed, flips=8, start=40):
            yield Case('images', f'{suffix}: {name}', partial(read, content, suffix),
                       partial(_as_pillow, content, suffix))
    yield from _claims()
