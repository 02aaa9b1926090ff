"""What an interrupted conversion has finished, to be used by the next one if nothing has changed since."""
import hashlib
import os
import pickle
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from ...errors import DataError, OutputError
from ...files import open_regular, read_bytes, write_whole
from ..readers.fields import ITEMS, Field, check_fields
from ..readers.safe_pickle import load_pickle

_PART = dict(infos=ITEMS, fingerprint=Field('a text', lambda value: isinstance(value, str)))
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
        if os.path.lexists(self.folder) and not (key_file.is_file() and read_bytes(key_file) == key.encode()):
            self.remove()
        write_whole(key_file, key.encode())

    def is_finished(self, number: int, frames: Sequence) -> bool:
        """Whether this chunk was converted from files that are still the same."""
        if not self._path(number).is_file():
            return False
        try:
            part = self._load(number)
            return part['fingerprint'] == self._fingerprint(frames) and len(part['infos']) == len(frames)
        except DataError:  # a damaged part is written again; a file that has gone since is for the conversion to report
            return False

    def write(self, number: int, frames: Sequence, infos: list[dict]) -> None:
        """Keep a chunk that was converted just now."""
        write_whole(self._path(number), pickle.dumps(dict(infos=infos, fingerprint=self._fingerprint(frames))))

    def read(self, number: int) -> list[dict]:
        """The infos of a finished chunk."""
        return self._load(number)['infos']

    def remove(self) -> None:
        """Delete the folder."""
        try:
            if self.folder.is_dir() and not self.folder.is_symlink():
                shutil.rmtree(self.folder)
            else:
                self.folder.unlink()
        except OSError as error:
            raise OutputError(f'{self.folder}, left behind by an interrupted conversion, cannot be deleted '
                              f'({error.strerror}); delete it') from error

    def _load(self, number: int) -> dict:
        path = self._path(number)
        part = load_pickle(read_bytes(path), path)
        check_fields(part, _PART, str(path), f'Delete {self.folder}', required=True)
        return part

    def _path(self, number: int) -> Path:
        return self.folder / f'{number:09d}.pkl'

    def _fingerprint(self, frames: Sequence) -> str:
        digest = hashlib.sha1()
        for path in (path for frame in frames for path in self.inputs(frame)):
            with open_regular(path) as file:
                status = os.fstat(file.fileno())
                digest.update(f'{path} {status.st_size} {status.st_mtime_ns}\n'.encode())
                digest.update(file.read(_SAMPLED_BYTES))
                file.seek(max(status.st_size - _SAMPLED_BYTES, file.tell()))
                digest.update(file.read())
        return digest.hexdigest()
