"""The worked example of docs/data_format.md, JSON lines, and what is wrong with a user's frames."""
import copy
import json
import re
from pathlib import Path

import cv2
import mmengine
import numpy as np
import pytest

from simipu.datasets import PairedDataset
from simipu.datasets.converters import common, create_jsonl_infos, write_infos
from simipu.errors import DataError

DOCUMENT = Path(__file__).resolve().parents[2] / 'docs/data_format.md'
# A point 10 m ahead, 1 m to the left and 0.5 m up.
POINT = np.array([10, 1, 0.5, 1])


def code_block(language: str, containing: str) -> str:
    blocks = re.findall(rf'```{language}\n(.*?)```', DOCUMENT.read_text(), re.DOTALL)
    block, = (block for block in blocks if containing in block)
    return block


@pytest.fixture
def drive(tmp_path) -> Path:
    """The recordings of the document's example."""
    rng = np.random.default_rng(0)
    root = tmp_path / 'my_drive'
    for folder in ('clouds', 'left', 'right'):
        (root / folder).mkdir(parents=True)
    for number in range(2):
        points = rng.uniform([5, -5, -1, 0], [40, 5, 1, 1], (50, 4)).astype(np.float32)
        points.tofile(root / f'clouds/{number:03d}.bin')
        for side in ('left', 'right'):
            picture = rng.integers(0, 256, (48, 96, 3), dtype=np.uint8)
            cv2.imwrite(str(root / f'{side}/{number:03d}.png'), picture)
    return root


def frames_of(info_file) -> list:
    return mmengine.load(info_file)['data_list']


def test_python_example_of_the_document(drive, monkeypatch):
    monkeypatch.chdir(drive.parent)
    exec(code_block('python', 'write_infos(frames()'), {})
    dataset = PairedDataset('simipu_infos_train.pkl', data_root='my_drive', pipeline=[
        dict(type='LoadPairedPoints'), dict(type='LoadPairedImages'),
        dict(type='PackPairedInputs')])
    assert len(dataset) == 2 and len(dataset[1]['inputs']['img']) == 2
    info = dataset.get_data_info(1)
    assert info['cam_names'] == ['left', 'right'] and info['img_size'] == [(48, 96)] * 2
    frame = frames_of(drive / 'simipu_infos_train.pkl')[1]
    assert (frame['sample_idx'], frame['timestamp'], frame['sequence']) == (1, 0.1, 'monday')
    # By hand: camera axes (-y + offset, -z, x) = (-1 + 0.3, -0.5, 10) on the left.
    for matrix, offset in zip(info['lidar2img'], (0.3, -0.3)):
        u, v, depth, _ = matrix @ POINT
        assert (u / depth, v / depth, depth) == pytest.approx(
            (47.5 + 60 * (offset - 1) / 10, 23.5 - 60 * 0.05, 10))


def test_json_example_of_the_document(drive, monkeypatch, tmp_path):
    lines = code_block('json', '"sequence"')
    (drive / 'frames.jsonl').write_text(lines)
    train, val = create_jsonl_infos(drive / 'frames.jsonl', drive, tmp_path)
    assert [split.info_file.name for split in (train, val)] == [
        'simipu_infos_train.pkl', 'simipu_infos_val.pkl']
    assert train.clouds == 'clouds'
    # The same calibration as in the Python example, composed by hand.
    monkeypatch.chdir(drive.parent)
    exec(code_block('python', 'write_infos(frames()'), {})
    by_python = frames_of(drive / 'simipu_infos_train.pkl')
    for split, frame in ((train, by_python[0]), (val, by_python[1])):
        mine, = frames_of(split.info_file)
        assert mine['lidar_points'] == frame['lidar_points']
        assert mine['timestamp'] == frame['timestamp']
        np.testing.assert_allclose(mine['images']['left']['lidar2img'],
                                   frame['images']['left']['lidar2img'])


def test_every_key_of_the_documents_configs_exists():
    """The document's snippets name data set arguments, transforms and tools that are there."""
    text = DOCUMENT.read_text()
    for path in set(re.findall(r'\b(?:configs|tools)/\w+\.py', text)):
        assert (DOCUMENT.parents[1] / path).is_file(), path


FRAME = dict(lidar_points=dict(lidar_path='clouds/000.bin', num_pts_feats=4),
             images=dict(left=dict(img_path='left/000.png', lidar2img=np.eye(4).tolist())))


@pytest.mark.parametrize('edit, message', [
    (lambda f: f.pop('lidar_points'), r'frame 1: expected lidar_points \(dict\), found images'),
    (lambda f: f['lidar_points'].pop('num_pts_feats'), 'expected num_pts_feats .int., found lidar_path'),
    (lambda f: f['lidar_points'].update(num_pts_feats=3), '800 bytes; expected a positive multiple of 12'),
    (lambda f: f['lidar_points'].update(lidar_path='none.bin'), 'no file .*none.bin .*frame 1'),
    (lambda f: f.update(images={}), 'frame 1: images is empty'),
    (lambda f: f['images']['left'].pop('img_path'), 'frame 1, camera left: expected img_path'),
    (lambda f: f['images']['left'].pop('lidar2img'), 'camera left: expected lidar2img, or cam2img'),
    (lambda f: f['images']['left'].update(lidar2img=np.zeros((4, 4))), 'lidar2img is singular'),
    (lambda f: f['images']['left'].update(lidar2img=[[1, 2], [3, 4]]), r'lidar2img: .* \(2, 2\)'),
    (lambda f: f['images']['left'].update(height=49, width=96), 'is 96 x 48 pixels, but .* 96 x 49'),
])
def test_faults_are_named_and_nothing_is_written(edit, message, drive, tmp_path):
    frame = copy.deepcopy(FRAME)
    edit(frame)
    with pytest.raises(DataError, match=message):
        write_infos([FRAME, frame], tmp_path / 'out/infos.pkl', drive)
    assert not list(tmp_path.glob('out/*'))


@pytest.mark.parametrize('text, message', [
    ('', 'frames.jsonl is empty'), ('{"images": }', 'frames.jsonl, line 1: expected one frame as JSON'),
    ('[1]', 'line 1: expected a JSON object, found list'), (None, 'no file .*frames.jsonl'),
    (f'\n{json.dumps(FRAME)}\n{{}}', 'frames.jsonl, line 3: expected lidar_points'),
])
def test_faulty_lines_are_named(text, message, drive, tmp_path):
    if text is not None:
        (drive / 'frames.jsonl').write_text(text)
    with pytest.raises(DataError, match=message):
        create_jsonl_infos(drive / 'frames.jsonl', drive, tmp_path / 'out')
    assert not list(tmp_path.glob('out/*'))


def test_no_frames_and_no_folder(drive, tmp_path):
    with pytest.raises(DataError, match='no frames for .*infos.pkl'):
        write_infos([], tmp_path / 'infos.pkl', drive)
    with pytest.raises(DataError, match='nowhere is not a folder'):
        write_infos([FRAME], tmp_path / 'infos.pkl', tmp_path / 'nowhere')


calls = []


def no_files(frame: int) -> list:
    return []


def _interrupted_at_20(number: int) -> dict:
    calls.append(number)
    if number == 20 and _interrupted_at_20.armed:
        raise KeyboardInterrupt
    return dict(number=number)


@pytest.mark.parametrize('same', [True, False])
def test_interrupted_conversion_goes_on(same, tmp_path, monkeypatch, capsys):
    """Chunks of 16 frames that were finished are not converted again, unless the frames changed."""
    info_file = tmp_path / 'infos/infos.pkl'
    _interrupted_at_20.armed = True
    with pytest.raises(KeyboardInterrupt):
        common.write_split(info_file, _interrupted_at_20, range(40), 'clouds', no_files, num_workers=1)
    assert not info_file.exists()
    _interrupted_at_20.armed = False
    calls.clear()
    start = 0 if same else 1
    split = common.write_split(info_file, _interrupted_at_20, range(start, 40), 'clouds', no_files,
                               num_workers=1, dataset='x')
    assert calls == list(range(16 if same else 1, 40))
    assert ('16 frames were converted by an interrupted run' in capsys.readouterr().out) == same
    infos = mmengine.load(info_file)
    assert infos['data_list'] == [dict(number=number) for number in range(start, 40)]
    assert infos['metainfo'] == dict(info_version='1.1', dataset='x')
    assert split.num_frames == 40 - start
    assert list(info_file.parent.iterdir()) == [info_file]


def test_old_info_file_stays_until_the_new_one_is_whole(tmp_path):
    info_file = tmp_path / 'infos.pkl'
    info_file.write_bytes(b'old')
    _interrupted_at_20.armed = True
    with pytest.raises(KeyboardInterrupt):
        common.write_split(info_file, _interrupted_at_20, range(40), 'clouds', no_files, num_workers=1)
    assert info_file.read_bytes() == b'old'
