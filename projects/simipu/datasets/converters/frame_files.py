"""Files of a folder by their frame: names may differ in digits and suffix, and hidden files are none."""
import re
from collections.abc import Sequence
from pathlib import Path

from ...errors import DataError
from ...files import shown

CLOUD_SUFFIXES = ('.bin', )
IMAGE_SUFFIXES = ('.png', '.jpg', '.jpeg')
_NUMBER = re.compile(r'[0-9]{1,18}')


class FrameFiles:
    """The files of a folder that have one of some suffixes.

    Files whose name starts with a dot are skipped: macOS leaves ``._000000.bin`` and ``.DS_Store``.

    Args:
        folder: May be missing, and has no files then.
        suffixes: In lower case, each with its dot. Where a frame has several files, that of the first
            suffix is taken.
    """

    def __init__(self, folder: Path, suffixes: Sequence[str]) -> None:
        self.folder = folder
        self.suffixes = suffixes
        self._names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
        self.by_stem: dict[str, str] = {}
        for suffix in suffixes:
            for name in self._names:
                if name.lower().endswith(suffix) and not name.startswith('.'):
                    self.by_stem.setdefault(name[:-len(suffix)], name)
        self.by_number: dict[int, str] = {}
        for stem, name in self.by_stem.items():
            if _NUMBER.fullmatch(stem):
                self.by_number.setdefault(int(stem), name)

    def find(self, frame: str) -> str | None:
        """Name of the frame's file: that with the same digits, else that with the same number."""
        if frame in self.by_stem or not _NUMBER.fullmatch(frame):
            return self.by_stem.get(frame)
        return self.by_number.get(int(frame))

    def require(self, frame: str, named_by: str) -> str:
        """Name of the frame's file.

        Raises:
            DataError: There is none; names the frame, who lists it, and what the folder holds.
        """
        name = self.find(frame)
        if name is None:
            visible = [name for name in self._names if not name.startswith('.')]
            found = f'{len(visible)} files such as {visible[0]}' if visible else 'no files'
            suffixes = ' or '.join(self.suffixes)
            raise DataError(f'no file {self.folder / shown(frame, 80)}{suffixes} for a frame of {named_by}; the folder '
                            f'has {found}. Complete the data set, or take the frame off that list')
        return name
