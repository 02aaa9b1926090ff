"""Text files as they come: in any Unicode encoding that can be recognised, with any line ends."""
import codecs
from pathlib import Path

from ...errors import DataError
from ...files import read_bytes

# The marks of UTF-32 start like those of UTF-16.
_BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: 'utf-8-sig',
    codecs.BOM_UTF32_LE: 'utf-32',
    codecs.BOM_UTF32_BE: 'utf-32',
    codecs.BOM_UTF16_LE: 'utf-16',
    codecs.BOM_UTF16_BE: 'utf-16',
}


def read_text(path: str | Path) -> str:
    r"""The text of a file, with ``\n`` at the end of each line.

    Raises:
        DataError: It cannot be read, is no text, or of an encoding that is not Unicode.
    """
    content = read_bytes(path)
    try:
        text = content.decode(_encoding(content))
    except UnicodeError as error:
        reason = f'{error.reason} at byte {error.start}' if isinstance(error, UnicodeDecodeError) else error
        raise DataError(f'{path}: expected text in UTF-8, but {reason}; save it as UTF-8, or copy the original file '
                        'again') from None
    if '\0' in text:
        raise DataError(f'{path}: expected a text file, found binary content; copy the original file again')
    return text.replace('\r\n', '\n').replace('\r', '\n')


def _encoding(content: bytes) -> str:
    for mark, encoding in _BYTE_ORDER_MARKS.items():
        if content.startswith(mark):
            return encoding
    # UTF-16 without a mark: of ASCII characters, every other byte is zero.
    if len(content) >= 2 and len(content) % 2 == 0 and content.count(0) * 2 == len(content):
        return 'utf-16-be' if content[0] == 0 else 'utf-16-le'
    return 'utf-8'
