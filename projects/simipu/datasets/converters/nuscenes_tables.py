"""nuScenes' tables, of which only what frames and their calibration need is read and checked."""
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from ...errors import DataError
from ...files import read_json, shown
from ..readers.fields import Field, check_fields, has_numbers
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
        self.tables = {name: self._by_token(name) for name in NAMES}
        self._channels = {
            token: self.get('sensor', self.follow('calibrated_sensor', of_sensor, 'sensor_token', 'sensor'), 'channel',
                            str) for token, of_sensor in self.tables['calibrated_sensor'].items()}
        self._key_frames = self._by_sample_and_channel()

    @property
    def scenes(self) -> list[dict]:
        """All scenes, in the table's order."""
        return list(self.tables['scene'].values())

    def get(self, table: str, record: dict, key: str, kind: type | tuple[type, ...]):
        """Field ``key`` of a record of that table."""
        value = record.get(key)
        # Without the name of the record, which takes longer to write than to look the field up.
        if isinstance(value, kind) and (kind is bool or not isinstance(value, bool)):
            return value
        return field(record, key, kind, self._name(table, record))

    def follow(self, table: str, record: dict, key: str, to: str) -> dict:
        """The record of the table ``to`` whose token is in field ``key``."""
        token = self.get(table, record, key, str)
        if token not in self.tables[to]:
            raise DataError(f'{self._path(to)}: no record {shown(repr(token), 80)}, which {self._name(table, record)} '
                            f'names as {key}; restore the original tables, all of one version')
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

    def recordings(self, first: dict) -> list[dict]:
        """A record of ``sample_data`` and all of the same sensor that follow it."""
        records = self.chain('sample_data', first)
        for record in records:
            if self._channel(record) != self._channel(first):
                raise DataError(f'{self._name("sample_data", record)}: it is of {self._channel(record)}, but follows '
                                f'one of {self._channel(first)}; restore the original tables')
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
        length = np.linalg.norm([w, *xyz])
        if not 0.9 < length < 1.1:
            raise DataError(f'{self._name(table, record)}: rotation has length {length:.3g}, expected a quaternion of '
                            'length 1; restore the original tables')
        matrix[:3, :3] = Rotation.from_quat([*xyz, w]).as_matrix()
        return matrix

    def number(self, table: str, record: dict, key: str, kind: Field) -> float:
        """A field with a number of that kind."""
        value = record.get(key)
        if not kind.holds(value):
            check_fields(record, {key: kind}, self._name(table, record), 'Restore the original tables', required=True)
        return value

    def numbers(self, table: str, record: dict, key: str, shape: tuple[int, ...]) -> np.ndarray:
        """A field of numbers as array of that shape."""
        value = self.get(table, record, key, list)
        if not has_numbers(value, shape):
            raise DataError(f'{self._name(table, record)}: expected {key} of {" x ".join(map(str, shape))} numbers, '
                            f'found {shown(value, 80)}; restore the original tables')
        return np.array(value, float)

    def _channel(self, record: dict) -> str:
        """Name of the sensor of a record of ``sample_data``."""
        sensor = self.follow('sample_data', record, 'calibrated_sensor_token', 'calibrated_sensor')
        return self._channels[sensor['token']]

    def _by_sample_and_channel(self) -> dict[str, dict[str, dict]]:
        key_frames: dict[str, dict[str, dict]] = {}
        for record in self.tables['sample_data'].values():
            if self.get('sample_data', record, 'is_key_frame', bool):
                recordings = key_frames.setdefault(self.get('sample_data', record, 'sample_token', str), {})
                recordings[self._channel(record)] = record
        return key_frames

    def _by_token(self, name: str) -> dict[str, dict]:
        records = self._load(name)
        by_token = {field(record, 'token', str, self._path(name)): record for record in records}
        if len(by_token) < len(records):
            raise DataError(f'{self._path(name)}: {len(records) - len(by_token)} of its {len(records)} records repeat '
                            'a token; restore the original tables')
        return by_token

    def _load(self, name: str) -> list[dict]:
        path = self._path(name)
        if not path.exists():
            raise DataError(f'no file {path}; expected the tables of nuScenes there. Unpack its metadata again')
        records = read_json(path, 'a table as JSON')
        if not isinstance(records, list) or not records:
            raise DataError(f'{path}: expected a list of records, found '
                            f'{"an empty one" if records == [] else type(records).__name__}; unpack the metadata again')
        return records

    def _path(self, name: str) -> Path:
        return self.folder / f'{name}.json'

    def _name(self, table: str, record: dict) -> str:
        return f'{self._path(table)}, record {shown(repr(record["token"]), 80)}'
