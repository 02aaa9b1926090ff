"""nuScenes' tables, of which only what frames and their calibration need is read and checked."""
import json
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from ...errors import DataError
from .common import field

NAMES = ('scene', 'sample', 'sample_data', 'ego_pose', 'calibrated_sensor', 'sensor')


class NuscenesTables:
    """Records of the tables that are needed, to be found by their token.

    Args:
        folder: With ``scene.json`` and so on.

    Raises:
        DataError: A table is missing or malformed; likewise from every method, where a record or one of its fields
            is. Names the file, the record and the field.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tables = {name: {field(record, 'token', str, self._path(name)): record for record in self._load(name)}
                       for name in NAMES}
        self._key_frames = self._by_sample_and_channel()

    @property
    def scenes(self) -> list[dict]:
        """All scenes, in the table's order."""
        return list(self.tables['scene'].values())

    def get(self, table: str, record: dict, key: str, kind: type | tuple[type, ...]):
        """Field ``key`` of a record of that table."""
        value = record.get(key)
        # Without the name of the record, which takes longer to write than to look the field up.
        return value if isinstance(value, kind) else field(record, key, kind, self._name(table, record))

    def follow(self, table: str, record: dict, key: str, to: str) -> dict:
        """The record of the table ``to`` whose token is in field ``key``."""
        token = self.get(table, record, key, str)
        if token not in self.tables[to]:
            raise DataError(f'{self._path(to)}: no record {token!r}, which {self._name(table, record)} names as {key}; '
                            'restore the original tables, all of one version')
        return self.tables[to][token]

    def chain(self, table: str, record: dict) -> list[dict]:
        """The record and all that follow it by ``next``."""
        records, visited = [record], {record['token']}
        while self.get(table, record, 'next', str):
            record = self.follow(table, record, 'next', table)
            if record['token'] in visited:
                raise DataError(f'{self._name(table, record)}: the fields "next" lead round in a circle; restore the '
                                'original tables')
            visited.add(record['token'])
            records.append(record)
        return records

    def key_frame(self, sample: dict, channel: str) -> dict:
        """The recording of a sensor that belongs to a sample."""
        recordings = self._key_frames.get(sample['token'], {})
        if channel not in recordings:
            raise DataError(f'{self._path("sample_data")}: no key frame of {channel} for sample {sample["token"]!r}, '
                            f'which has {", ".join(sorted(recordings)) or "none"}; choose cameras with --cameras, or '
                            'restore the original tables')
        return recordings[channel]

    def pose(self, table: str, record: dict) -> np.ndarray:
        """``translation`` and ``rotation`` (a quaternion w, x, y, z) of a record, as (4, 4) matrix."""
        matrix = np.eye(4)
        matrix[:3, 3] = self.numbers(table, record, 'translation', (3, ))
        w, *xyz = self.numbers(table, record, 'rotation', (4, ))
        if not np.any([w, *xyz]):
            raise DataError(f'{self._name(table, record)}: rotation is all zeros; restore the original tables')
        matrix[:3, :3] = Rotation.from_quat([*xyz, w]).as_matrix()
        return matrix

    def numbers(self, table: str, record: dict, key: str, shape: tuple[int, ...]) -> np.ndarray:
        """A field of numbers as array of that shape."""
        value = self.get(table, record, key, list)
        try:
            numbers = np.array(value, float)
        except (TypeError, ValueError):
            numbers = np.empty(0)
        if numbers.shape != shape or not np.isfinite(numbers).all():
            raise DataError(f'{self._name(table, record)}: expected {key} of {" x ".join(map(str, shape))} numbers, '
                            f'found {value!r:.80}; restore the original tables')
        return numbers

    def _by_sample_and_channel(self) -> dict[str, dict[str, dict]]:
        channels = {token: self.get('sensor', self.follow('calibrated_sensor', record, 'sensor_token', 'sensor'),
                                    'channel', str)
                    for token, record in self.tables['calibrated_sensor'].items()}
        key_frames: dict[str, dict[str, dict]] = {}
        for record in self.tables['sample_data'].values():
            if self.get('sample_data', record, 'is_key_frame', bool):
                sensor = self.follow('sample_data', record, 'calibrated_sensor_token', 'calibrated_sensor')
                recordings = key_frames.setdefault(self.get('sample_data', record, 'sample_token', str), {})
                recordings[channels[sensor['token']]] = record
        return key_frames

    def _load(self, name: str) -> list[dict]:
        path = self._path(name)
        if not path.is_file():
            raise DataError(f'no file {path}; expected the tables of nuScenes there. Unpack its metadata again')
        try:
            records = json.loads(path.read_bytes())
        except ValueError as error:  # no JSON, or no text
            raise DataError(f'{path}: expected a table as JSON, but {error}; unpack the metadata again') from None
        if not isinstance(records, list) or not records:
            raise DataError(f'{path}: expected a list of records, found '
                            f'{"an empty one" if records == [] else type(records).__name__}; unpack the metadata again')
        return records

    def _path(self, name: str) -> Path:
        return self.folder / f'{name}.json'

    def _name(self, table: str, record: dict) -> str:
        return f'{self._path(table)}, record {record["token"]!r}'
