"""Text in the encodings and with the line ends that editors and tools leave behind."""
import codecs

import pytest

from simipu.datasets.converters.text_files import read_text
from simipu.errors import DataError

TEXT = '000000\n000001\n\n000003\n'


@pytest.mark.parametrize('content', [
    TEXT.encode(), TEXT.encode('utf-8-sig'), TEXT.encode('utf-16'), TEXT.encode('utf-32'),
    codecs.BOM_UTF16_BE + TEXT.encode('utf-16-be'), TEXT.encode('utf-16-le'), TEXT.encode('utf-16-be'),
    TEXT.replace('\n', '\r\n').encode(), TEXT.replace('\n', '\r').encode(),
    TEXT.replace('\n', '\r\n').encode('utf-16'),
])
def test_encodings_and_line_ends(content, tmp_path):
    (tmp_path / 'train.txt').write_bytes(content)
    assert read_text(tmp_path / 'train.txt') == TEXT


def test_text_that_is_not_ascii(tmp_path):
    (tmp_path / 'train.txt').write_text('Straße/Ä\n', encoding='utf-8')
    assert read_text(tmp_path / 'train.txt') == 'Straße/Ä\n'


@pytest.mark.parametrize('content, message', [
    ('Straße'.encode('latin-1'), 'expected text in UTF-8, but .* at byte 4; save it as UTF-8'),
    (b'PK\3\4\x14\0\0\0\x08\0', 'found binary content; copy the original file again'),
    (codecs.BOM_UTF16_LE + b'0\0\n', 'expected text in UTF-8, but truncated data'),
    (b'\x89PNG\r\n\x1a\n\0\0\0\rIHDR', 'expected text in UTF-8'),
])
def test_what_is_no_text_is_one_line(content, message, tmp_path):
    (tmp_path / 'train.txt').write_bytes(content)
    with pytest.raises(DataError, match=f'train.txt: .*{message}') as error:
        read_text(tmp_path / 'train.txt')
    assert '\n' not in str(error.value)
