"""What an interrupted conversion has finished, to be used by the next one if nothing has changed since."""
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import mmengine

_SAMPLED_BYTES = 4096  # at either end of a file: of calibration files, that is all


class FinishedParts:
    """A folder of converted chunks of frames.

    A chunk counts as finished while the files that it was made from are the same: in size, time of change,
    and content at both ends.

    Args:
        folder: Made when it is claimed.
        inputs: From a frame to the files that its conversion reads.
    """

    def __init__(self, folder: Path, inputs: Callable[..., Iterable[Path]]) -> None:
        self.folder = folder
        self.inputs = inputs

    def claim(self, key: str) -> None:
        """Make the folder; chunks of a conversion with another ``key`` are thrown away."""
        key_file = self.folder / 'key.txt'
        if self.folder.exists() and not (key_file.is_file() and key_file.read_text() == key):
            shutil.rmtree(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        key_file.write_text(key)

    def is_finished(self, number: int, frames: Sequence) -> bool:
        """Whether this chunk was converted from files that are still the same."""
        path = self._path(number)
        if not path.is_file():
            return False
        try:
            return mmengine.load(path)['fingerprint'] == self._fingerprint(frames)
        except FileNotFoundError:  # a file that has gone since is for the conversion to report
            return False

    def write(self, number: int, frames: Sequence, infos: list[dict]) -> None:
        """Keep a chunk that was converted just now."""
        dump_whole(dict(infos=infos, fingerprint=self._fingerprint(frames)), self._path(number))

    def read(self, number: int) -> list[dict]:
        """The infos of a finished chunk."""
        return mmengine.load(self._path(number))['infos']

    def remove(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.folder)

    def _path(self, number: int) -> Path:
        return self.folder / f'{number:09d}.pkl'

    def _fingerprint(self, frames: Sequence) -> str:
        digest = hashlib.sha1()
        for path in (path for frame in frames for path in self.inputs(frame)):
            status = os.stat(path)
            digest.update(f'{path} {status.st_size} {status.st_mtime_ns}\n'.encode())
            with open(path, 'rb') as file:
                digest.update(file.read(_SAMPLED_BYTES))
                file.seek(max(status.st_size - _SAMPLED_BYTES, file.tell()))
                digest.update(file.read())
        return digest.hexdigest()


def dump_whole(content, path: Path) -> None:
    """Write a pickle; an interrupted run leaves no half file behind."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        unfinished = Path(folder) / path.name
        mmengine.dump(content, unfinished)
        os.replace(unfinished, path)
