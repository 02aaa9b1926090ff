"""Images are decoded as stored, and refused where they would be read as something else."""
import struct
import zlib
from io import BytesIO

import cv2
import numpy as np
import pytest
from mmdet3d.registry import TRANSFORMS
from PIL import Image, ImageOps

from simipu.datasets.converters.common import image_size
from simipu.errors import DataError

HEIGHT, WIDTH = 48, 80
ORIENTATION = 0x0112


def picture() -> np.ndarray:
    """(H, W, 3) uint8, RGB: a smooth picture, unlike itself when turned."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack([3 * x, 5 * y, 255 - 2 * x - y], axis=-1).astype(np.uint8)


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def turned(orientation: int, kind: str = 'jpeg') -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    options = dict(quality=98) if kind == 'jpeg' else {}
    return encoded(Image.fromarray(picture()), kind, exif=exif, **options)


def load(path, content: bytes, size=(HEIGHT, WIDTH), stated=None, **options) -> np.ndarray:
    """RGB."""
    path.write_bytes(content)
    transform = TRANSFORMS.build(dict(type='LoadPairedImages', **options))
    frame = dict(img_path=[str(path)], img_size=[size], img_format=[stated or {}])
    result = transform(frame)
    assert result['ori_shape'] == [result['img'][0].shape[:2]]
    return result['img'][0][..., ::-1]


class TestOrientation:

    @pytest.mark.parametrize('orientation', range(1, 9))
    @pytest.mark.parametrize('kind', ['jpeg', 'png'])
    def test_pixels_stay_as_stored(self, tmp_path, orientation, kind):
        path = tmp_path / f'0.{kind}'
        found = load(path, turned(orientation, kind))
        np.testing.assert_allclose(found.astype(int), picture(), atol=12)
        assert image_size(path, 'a list') == dict(height=HEIGHT, width=WIDTH)

    def test_an_orientation_that_is_not_applied_is_said_once(self, tmp_path, monkeypatch):
        (tmp_path / '0.jpg').write_bytes(turned(6))
        said = []
        monkeypatch.setattr('simipu.datasets.transforms.loading.print_log', lambda text, **kwargs: said.append(text))
        transform = TRANSFORMS.build(dict(type='LoadPairedImages'))
        for _ in range(2):
            transform(dict(img_path=[str(tmp_path / '0.jpg')]))
        assert len(said) == 1 and 'orientation 6' in said[0] and 'apply_exif=True' in said[0]

    @pytest.mark.parametrize('orientation', range(1, 9))
    def test_they_are_turned_by_choice(self, tmp_path, orientation):
        content = turned(orientation, 'png')
        expected = np.asarray(ImageOps.exif_transpose(Image.open(BytesIO(content))))
        path = tmp_path / '0.png'
        for options in (dict(apply_exif=True), dict(stated=dict(apply_exif=True))):
            for size in ((HEIGHT, WIDTH), expected.shape[:2], None):
                np.testing.assert_array_equal(load(path, content, size, **options), expected)
        assert tuple(image_size(path, 'a list', apply_exif=True).values()) == expected.shape[:2]

    def test_the_message_for_turned_sizes_leads_out(self, tmp_path):
        content = turned(6)
        with pytest.raises(DataError, match='48 x 80 .*has 80 x 48.*orientation 6.*load_images.apply_exif=True'):
            load(tmp_path / '0.jpg', content, (WIDTH, HEIGHT))
        assert load(tmp_path / '0.jpg', content, (WIDTH, HEIGHT), apply_exif=True).shape == (WIDTH, HEIGHT, 3)


GREY = np.asarray(Image.fromarray(picture()).convert('L'))


class TestBitDepth:

    @pytest.mark.parametrize('make, depth', [
        (lambda: GREY.astype(np.uint16) << 4, 12),
        (lambda: GREY.astype(np.uint16) << 2, 10),
        (lambda: GREY.astype(np.uint16) << 8, 16),
        (lambda: picture()[..., ::-1].astype(np.uint16) << 4, 12),
    ], ids=['12 bits', '10 bits', '16 bits', 'colour of 12 bits'])
    @pytest.mark.parametrize('kind', ['.png', '.tiff'])
    def test_more_than_8_bits_need_a_depth_that_the_message_names(self, tmp_path, make, depth, kind):
        image = make()
        content = cv2.imencode(kind, image)[1].tobytes()
        with pytest.raises(DataError, match=f'from {image.min()} to {image.max()}.*load_images.bit_depth={depth}'):
            load(tmp_path / f'0{kind}', content)
        expected = picture() if image.ndim == 3 else np.repeat(GREY[..., None], 3, axis=2)
        for options in (dict(bit_depth=depth), dict(stated=dict(bit_depth=depth))):
            np.testing.assert_array_equal(load(tmp_path / f'0{kind}', content, **options), expected)

    @pytest.mark.parametrize('lowest, step, levels', [(29000, 1, 2), (7000, 2, 15), (0, 300, None)])
    def test_a_narrow_range_of_values_is_said(self, lowest, step, levels, tmp_path):
        values = (lowest + step * picture()[..., 0].astype(np.uint16)).astype(np.uint16)
        with pytest.raises(DataError, match='16 bits per value') as error:
            load(tmp_path / '0.png', cv2.imencode('.png', values)[1].tobytes())
        assert ('write them anew with 8 bits' in str(error.value)) == (levels is not None)
        assert levels is None or f'have {levels} grey levels only' in str(error.value)

    def test_values_above_the_depth_are_refused(self, tmp_path):
        content = cv2.imencode('.png', GREY.astype(np.uint16) << 5)[1].tobytes()
        with pytest.raises(DataError, match='bit_depth=12, but its values go up to .*; set load_images.bit_depth=14'):
            load(tmp_path / '0.png', content, bit_depth=12)

    def test_floats_are_refused(self, tmp_path):
        content = cv2.imencode('.tiff', GREY.astype(np.float32))[1].tobytes()
        with pytest.raises(DataError, match='8 or 16 bits per value, found float32'):
            load(tmp_path / '0.tiff', content)


@pytest.mark.parametrize('mode, kind, tolerance', [
    ('L', 'png', 0), ('LA', 'png', 0), ('P', 'png', 0), ('1', 'png', 0), ('RGBA', 'png', 0), ('L', 'jpeg', 3),
    ('CMYK', 'jpeg', 6), ('RGB', 'bmp', 0), ('RGB', 'tiff', 0), ('RGB', 'ppm', 0),
])
def test_every_mode_becomes_the_same_colours(mode, kind, tolerance, tmp_path):
    """Against Pillow."""
    image = Image.fromarray(picture()).convert(mode)
    content = encoded(image, kind, **(dict(quality=98) if kind == 'jpeg' else {}))
    expected = np.asarray(Image.open(BytesIO(content)).convert('RGB')).astype(int)
    assert np.abs(load(tmp_path / f'0.{kind}', content) - expected).mean() <= tolerance


def thumbnailed() -> bytes:
    """A JPEG whose EXIF block holds a whole JPEG, with an end marker of its own."""
    jpeg = encoded(Image.fromarray(picture()), 'jpeg')
    payload = b'Exif\0\0' + jpeg
    return jpeg[:2] + b'\xff\xe1' + struct.pack('>H', len(payload) + 2) + payload + jpeg[2:]


class TestDamage:

    @pytest.mark.parametrize('kind', ['jpeg', 'png'])
    @pytest.mark.parametrize('share', [0.4, 0.9, 0.99])
    @pytest.mark.parametrize('tail', [b'', bytes(2000)], ids=['cut', 'padded'])
    def test_images_that_end_early(self, tmp_path, kind, share, tail):
        noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        content = encoded(Image.fromarray(noise), kind)
        with pytest.raises(DataError, match='ends early'):
            load(tmp_path / f'0.{kind}', content[:int(share * len(content))] + tail)
        with pytest.raises(DataError, match='ends early'):
            image_size(tmp_path / f'0.{kind}', 'a list')

    def test_the_end_of_a_thumbnail_is_not_that_of_the_image(self, tmp_path):
        whole = thumbnailed()
        assert load(tmp_path / '0.jpg', whole).shape == (HEIGHT, WIDTH, 3)
        with pytest.raises(DataError, match='ends early'):
            load(tmp_path / '0.jpg', whole[:-2])

    @pytest.mark.parametrize('kind', ['jpeg', 'png'])
    @pytest.mark.parametrize('tail', [bytes(5000), b'appended by a camera'])
    def test_what_follows_the_end_does_not_matter(self, tmp_path, kind, tail):
        assert load(tmp_path / f'0.{kind}', turned(1, kind) + tail).shape == (HEIGHT, WIDTH, 3)
        assert image_size(tmp_path / f'0.{kind}', 'a list') == dict(height=HEIGHT, width=WIDTH)

    def test_bytes_between_segments_do_not_matter(self, tmp_path):
        content = turned(1)
        load(tmp_path / '0.jpg', content[:20] + bytes(2) + content[20:])
        with pytest.raises(DataError, match='ends early'):
            load(tmp_path / '0.jpg', content[:20] + bytes(2) + content[20:-200])

    def test_a_tiny_file_that_claims_an_absurd_size(self, tmp_path):
        header = struct.pack('>IIBBBBB', 60000, 60000, 8, 2, 0, 0, 0)
        content = b'\x89PNG\r\n\x1a\n' + b''.join(
            struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))
            for kind, data in ((b'IHDR', header), (b'IDAT', zlib.compress(b'')), (b'IEND', b'')))
        assert len(content) == 65
        for size in ((375, 1242), None):
            with pytest.raises(DataError, match='0.png.*absurd size .*(60000 x 60000|3600000000) pixels'):
                load(tmp_path / '0.png', content, size)
        with pytest.raises(DataError, match='0.png.*absurd size'):
            image_size(tmp_path / '0.png', 'a list')

    @pytest.mark.parametrize('kind', ['png', 'bmp', 'tiff', 'ppm', 'webp', 'gif'])
    def test_garbage_after_a_good_header(self, tmp_path, kind):
        content = encoded(Image.fromarray(picture()), kind)
        with pytest.raises(DataError, match=f'0.{kind}: '):
            load(tmp_path / f'0.{kind}', content[:70] + bytes(20))

    @pytest.mark.parametrize('content', [b'', b'<html>', b'\xff\xd8\xff', b'\x89PNG\r\n\x1a\n'])
    def test_what_is_no_image(self, tmp_path, content):
        with pytest.raises(DataError, match='0.png: .*cannot be decoded .*copy the file again'):
            load(tmp_path / '0.png', content)
