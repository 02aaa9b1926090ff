"""nuScenes' tables with less than the original has, and with faults: one line that names file and field."""
import json
import shutil
from functools import partial
from pathlib import Path

import cv2
import mmengine
import numpy as np
import pytest
from nuscenes.utils.geometry_utils import transform_matrix
from pyquaternion import Quaternion

from simipu.datasets.converters import create_nuscenes_infos
from simipu.datasets.converters.nuscenes_tables import NAMES, NuscenesTables
from simipu.errors import DataError
from simipu.scenes import generate_nuscenes_dataset

convert = partial(create_nuscenes_infos, version='v1.0-mini', cameras=['CAM_FRONT'], sweeps=1, num_workers=1)


@pytest.fixture(scope='module')
def made(tmp_path_factory) -> Path:
    """Three key frames of one scene and a sweep after each of them but the last."""
    folder = tmp_path_factory.mktemp('nuscenes') / 'made'
    generate_nuscenes_dataset(folder, 3, seed=3, image_size=(64, 36), num_workers=1, sweeps=1)
    return folder


@pytest.fixture
def nuscenes(made, tmp_path) -> Path:
    shutil.copytree(made, tmp_path / 'nuscenes')
    return tmp_path / 'nuscenes'


def frames_of(split) -> list:
    return mmengine.load(split.info_file)['data_list']


def change(root: Path, table: str, edit) -> None:
    """Let ``edit`` change the records of a table in place."""
    path = root / f'v1.0-mini/{table}.json'
    records = json.loads(path.read_text())
    edit(records)
    path.write_text(json.dumps(records))


NEEDED = {
    'scene': {'token', 'name', 'first_sample_token'}, 'sample': {'token', 'next'},
    'sample_data': {'token', 'sample_token', 'ego_pose_token', 'calibrated_sensor_token', 'filename', 'timestamp',
                    'is_key_frame', 'next'},
    'ego_pose': {'token', 'translation', 'rotation'}, 'sensor': {'token', 'channel'},
    'calibrated_sensor': {'token', 'sensor_token', 'translation', 'rotation', 'camera_intrinsic'},
}


def test_only_what_is_needed_is_required(made, nuscenes, tmp_path):
    expected = frames_of(convert(made, tmp_path / 'expected')[0])
    assert len(expected) == 5
    for path in (nuscenes / 'v1.0-mini').iterdir():
        if path.stem not in NAMES:
            path.unlink()
    for table, keys in NEEDED.items():
        change(nuscenes, table, lambda records: [record.pop(key) for record in records for key in set(record) - keys])
    for folder in ('v1.0-mini', 'samples/LIDAR_TOP', 'samples/CAM_FRONT'):
        for name in ('._scene.json', '.DS_Store'):
            (nuscenes / folder / name).write_bytes(b'\0\5\x16\7')
    assert frames_of(convert(nuscenes, tmp_path)[0]) == expected


def test_poses_are_those_of_nuscenes_devkit(made):
    tables = NuscenesTables(made / 'v1.0-mini')
    for table in ('ego_pose', 'calibrated_sensor'):
        for record in tables.tables[table].values():
            expected = transform_matrix(record['translation'], Quaternion(record['rotation']))
            np.testing.assert_allclose(tables.pose(table, record), expected, atol=1e-12)


@pytest.mark.parametrize('table, key', [(table, key) for table, keys in NEEDED.items() for key in sorted(keys)])
@pytest.mark.parametrize('value', ['missing', None])
def test_every_field_that_is_needed_is_named(table, key, value, nuscenes, tmp_path):

    def spoil(records):
        for record in records:
            record.pop(key) if value == 'missing' else record.update({key: value})

    change(nuscenes, table, spoil)
    with pytest.raises(DataError, match=fr'v1.0-mini/{table}\.json.*expected (the field )?{key} \(') as error:
        convert(nuscenes, tmp_path)
    assert '\n' not in str(error.value)


def circle(records) -> None:
    records[-1]['next'] = records[0]['token']


@pytest.mark.parametrize('table, edit, message', [
    ('sample', circle, r"sample.json, record '.*': the fields \"next\" lead round in a circle"),
    ('sample_data', lambda records: [record.update(next=record['token']) for record in records],
     'sample_data.json, record .* circle'),
    ('sample', lambda records: records[0].update(next='nowhere'), "sample.json: no record 'nowhere', which .* as next"),
    ('ego_pose', lambda records: records.__delitem__(slice(1, None)),
     'ego_pose.json: no record .*sample_data.json, record .* names as ego_pose_token'),
    ('scene', lambda records: records[0].update(first_sample_token='x'), "sample.json: no record 'x', .*scene.json"),
    ('ego_pose', lambda records: records[0].update(rotation=[1, 0, 0]), 'rotation of 4 numbers, found .1, 0, 0.'),
    ('ego_pose', lambda records: records[0].update(translation=[1, 'a', 0]), 'translation of 3 numbers'),
    ('ego_pose', lambda records: records[0].update(rotation=[0, 0, 0, 0]), 'rotation has length 0'),
    ('calibrated_sensor', lambda records: [record.update(camera_intrinsic=[]) for record in records],
     'calibrated_sensor.json, record .*camera_intrinsic of 3 x 3 numbers, found'),
    ('sample_data', lambda records: records.clear(), 'sample_data.json: expected a list .*, found an empty one'),
    ('sensor', lambda records: [record.update(channel='CAMERA') for record in records], 'no key frame of LIDAR_TOP'),
])
def test_faulty_tables(table, edit, message, nuscenes, tmp_path):
    change(nuscenes, table, edit)
    with pytest.raises(DataError, match=message) as error:
        convert(nuscenes, tmp_path)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('content, message', [
    (b'[{"token": "a", ', 'expected a table as JSON'), (b'\xff\xfe\x00', 'expected a table as JSON'),
    (b'{"token": "a"}', 'expected a list of records, found dict'), (b'[1, 2]', 'expected the field token'),
    (None, 'no file .*ego_pose.json; expected the tables')])
def test_files_that_are_no_tables(content, message, nuscenes, tmp_path):
    path = nuscenes / 'v1.0-mini/ego_pose.json'
    path.write_bytes(content) if content else path.unlink()
    with pytest.raises(DataError, match=f'(?s)ego_pose.json.*{message}' if content else message):
        convert(nuscenes, tmp_path)


def test_scenes_without_an_official_split_are_said(nuscenes, tmp_path):
    change(nuscenes, 'scene', lambda records: records[0].update(name='my-drive'))
    with pytest.raises(DataError, match='1 scenes that are not in the official splits of v1.0-mini, such as my-drive'):
        convert(nuscenes, tmp_path)


@pytest.mark.parametrize('table_says', [True, False])
def test_resized_images(table_says, nuscenes, tmp_path):
    for path in (nuscenes / 'samples/CAM_FRONT').iterdir():
        cv2.imwrite(str(path), cv2.resize(cv2.imread(str(path)), (32, 18)))
    if not table_says:
        change(nuscenes, 'sample_data', lambda records: [record.pop('width') for record in records])
    with pytest.raises(DataError, match='another size .*, by a factor of (0.5|about 0.49): .*32 x 18 pixels, but'):
        convert(nuscenes, tmp_path)
