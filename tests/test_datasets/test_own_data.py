"""The worked example of docs/data_format.md, JSON lines, and what is wrong with a user's frames."""
import copy
import json
import re
import runpy
import shlex
import sys
from pathlib import Path

import cv2
import mmengine
import numpy as np
import pytest

from simipu.datasets import PairedDataset
from simipu.datasets.converters import common, create_jsonl_infos, create_own_infos, write_infos
from simipu.errors import DataError

PROJECT = Path(__file__).resolve().parents[2]
DOCUMENT = PROJECT / 'docs/data_format.md'
# A point 10 m ahead, 1 m to the left and 0.5 m up.
POINT = np.array([10, 1, 0.5, 1])


def example(language: str) -> list[str]:
    """Blocks of the worked example; of bash those that are marked to be run."""
    section = DOCUMENT.read_text().partition('## Your own data')[2].partition('\n## ')[0]
    mark = '<!-- test: run -->\n' if language == 'bash' else ''
    return re.findall(rf'^{mark}```{language}\n(.*?)^```', section, re.DOTALL | re.MULTILINE)


@pytest.fixture
def drive(tmp_path) -> Path:
    """The recordings of the document's example."""
    rng = np.random.default_rng(0)
    root = tmp_path / 'my_drive'
    for folder in ('clouds', 'left', 'right'):
        (root / folder).mkdir(parents=True)
    for number in range(20):
        points = rng.uniform([5, -5, -1, 0], [40, 5, 1, 1], (50, 4)).astype(np.float32)
        points.tofile(root / f'clouds/{number:03d}.bin')
        for side in ('left', 'right'):
            picture = rng.integers(0, 256, (48, 96, 3), dtype=np.uint8)
            cv2.imwrite(str(root / f'{side}/{number:03d}.png'), picture)
    return root


def frames_of(info_file) -> list:
    return mmengine.load(info_file)['data_list']


def run_command(monkeypatch, program, tool, *arguments) -> int:
    """The exit code of a tool of the project that is run in this process."""
    assert program == 'python'
    monkeypatch.setattr(sys, 'argv', [tool, *arguments])
    try:
        runpy.run_path(str(PROJECT / tool), run_name='__main__')
    except SystemExit as error:
        assert not isinstance(error.code, str), error.code
        return error.code or 0
    return 0


def test_the_example_converts_trains_and_validates(drive, monkeypatch, capfd):
    """Every block of the page, as it stands there, by a user who has only the recordings."""
    monkeypatch.chdir(drive.parent)
    Path('configs').symlink_to(PROJECT / 'configs')
    monkeypatch.setenv('LOCAL_RANK', '0')
    describe, in_python = example('python')
    names = {}
    exec(describe, names)
    assert Path('my_drive/frames.jsonl').read_text().splitlines()[0] == example('json')[0].strip()
    exit_codes = {}
    for block in example('bash'):
        for command in block.replace('\\\n', ' ').splitlines():
            exit_codes[shlex.split(command)[1]] = run_command(monkeypatch, *shlex.split(command))
    # The noise that stands for recordings has no calibration that fits.
    assert list(exit_codes) == [f'tools/{tool}.py'
                                for tool in ('create_data', 'check_dataset', 'browse_dataset', 'train')]
    assert {tool for tool, code in exit_codes.items() if code} <= {'tools/check_dataset.py'}
    by_command = [frames_of(f'my_drive/simipu_infos_{split}.pkl') for split in ('train', 'val')]
    assert [len(frames) for frames in by_command] == [18, 2]
    output = capfd.readouterr().out
    assert 'Epoch(train) [1][2/2]' in output and 'depth_probe/abs_rel' in output
    assert 'the last 2 of 20 frames' in output
    exec(in_python, names)
    assert [frames_of(f'my_drive/simipu_infos_{split}.pkl') for split in ('train', 'val')] == by_command


def test_frames_of_the_example_are_what_the_page_says(drive, monkeypatch):
    monkeypatch.chdir(drive.parent)
    names = {}
    for block in example('python'):
        exec(block, names)
    dataset = PairedDataset('simipu_infos_train.pkl', data_root='my_drive', pipeline=[
        dict(type='LoadPairedPoints'), dict(type='LoadPairedImages'),
        dict(type='PackPairedInputs')])
    assert len(dataset) == 18 and len(dataset[1]['inputs']['img']) == 2
    info = dataset.get_data_info(1)
    assert info['cam_names'] == ['left', 'right'] and info['img_size'] == [(48, 96)] * 2
    frame = frames_of(drive / 'simipu_infos_train.pkl')[1]
    assert (frame['sample_idx'], frame['timestamp'], frame['sequence']) == (1, 0.1, 'monday')
    # By hand: camera axes (-y + offset, -z, x) = (-1 + 0.3, -0.5, 10) on the left.
    for matrix, offset in zip(info['lidar2img'], (0.3, -0.3)):
        u, v, depth, _ = matrix @ POINT
        assert (u / depth, v / depth, depth) == pytest.approx(
            (47.5 + 60 * (offset - 1) / 10, 23.5 - 60 * 0.05, 10))


FRAME = dict(lidar_points=dict(lidar_path='clouds/000.bin', num_pts_feats=4),
             images=dict(left=dict(img_path='left/000.png', lidar2img=np.eye(4).tolist())))


@pytest.mark.parametrize('edit, message', [
    (lambda f: f['lidar_points'].update(num_pts_feats=3), '800 bytes; expected a positive multiple of 12'),
    (lambda f: f['lidar_points'].update(lidar_path='none.bin'), 'no file .*none.bin .*frame 1'),
    (lambda f: f['images']['left'].pop('lidar2img'), 'camera left: expected lidar2img, or cam2img'),
    (lambda f: f['images']['left'].update(lidar2img=np.zeros((4, 4))), 'lidar2img is singular'),
    (lambda f: f['images']['left'].update(height=49, width=96), 'is 96 x 48 pixels, but .* 96 x 49'),
    (lambda f: f['images']['left'].update(lens='wide'), r'frame 1: unknown field images.left.lens'),
])
def test_faults_are_named_and_nothing_is_written(edit, message, drive, tmp_path):
    frame = copy.deepcopy(FRAME)
    edit(frame)
    with pytest.raises(DataError, match=message):
        write_infos([FRAME, frame], tmp_path / 'out/infos.pkl', drive)
    assert not list(tmp_path.glob('out/*'))


@pytest.mark.parametrize('text, message', [
    ('', 'frames.jsonl is empty'), ('{"images": }', 'frames.jsonl, line 1: expected one frame as JSON'),
    ('[1]', r'line 1: the frame: expected object, found \[1\]'), (None, 'no file .*frames.jsonl'),
    (f'\n{json.dumps(FRAME)}\n{{}}', 'frames.jsonl, line 3: expected lidar_points'),
    ('{"images": {}, "images": {}}', 'line 1: .*images stands twice'),
    (b'\x80\x81', 'frames.jsonl: expected text in UTF-8, .*save it as UTF-8'),
])
def test_faulty_lines_are_named(text, message, drive, tmp_path):
    if text is not None:
        (drive / 'frames.jsonl').write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError, match=message):
        create_jsonl_infos(drive / 'frames.jsonl', drive, tmp_path / 'out')
    assert not list(tmp_path.glob('out/*'))


@pytest.mark.parametrize('spell', [
    lambda text: '\ufeff' + text, lambda text: text.replace('\n', '\r\n'), lambda text: text + '\n\n',
    lambda text: text.replace('left/000', r'left\\000').replace('clouds/000', r'clouds\\000')])
def test_other_spellings_of_the_same_lines(spell, drive, tmp_path):
    """A byte order mark, line ends and paths of Windows, blank lines."""
    text = '\n'.join(json.dumps(dict(FRAME, sequence=name), ensure_ascii=False) for name in ('a', 'b\u2028'))
    (drive / 'frames.jsonl').write_text(spell(text), encoding='utf-8', newline='')
    split, = create_jsonl_infos(drive / 'frames.jsonl', drive, tmp_path)
    first, second = frames_of(split.info_file)
    assert first['lidar_points'] == FRAME['lidar_points'] and second['sequence'] == 'b\u2028'
    assert first['images']['left']['img_path'] == 'left/000.png'


def own(drive, out_dir, frames, **options):
    return create_own_infos(copy.deepcopy(frames), drive, out_dir, num_workers=1, **options)


def test_split_of_each_frame(drive, tmp_path):
    frames = [dict(FRAME, split=split) for split in ('val', 'train', 'test-2')] + [FRAME]
    written = own(drive, tmp_path, frames)
    assert {split.info_file.name: split.num_frames for split in written} == {
        'simipu_infos_train.pkl': 2, 'simipu_infos_val.pkl': 1, 'simipu_infos_test-2.pkl': 1}
    assert not any(split.remarks for split in written)
    for options in (dict(val_share=0.5), dict(val_scenes=['a'])):
        with pytest.raises(DataError, match="frame 0: split is 'val', so --val-share and --val-scenes cannot"):
            own(drive, tmp_path, frames, **options)


@pytest.mark.parametrize('split, said', [('train', 'no frame for val'), ('val', 'no frame for train'),
                                         ('mine', 'no frame for train or val')])
def test_a_missing_split_is_said(split, said, drive, tmp_path):
    written, = own(drive, tmp_path, [dict(FRAME, split=split)])
    remark, = written.remarks
    assert remark.startswith(said) and '--val-share' in remark and '--no-val' in remark


def test_named_sequences_are_for_validation(drive, tmp_path):
    frames = [dict(FRAME, sequence=name) for name in ('monday', 'tuesday', 'monday', 7)]
    train, val = own(drive, tmp_path, frames, val_scenes=['tuesday', '7'])
    assert [frame['sequence'] for frame in frames_of(val.info_file)] == ['tuesday', 7]
    assert [frame['sequence'] for frame in frames_of(train.info_file)] == ['monday', 'monday']


def test_the_end_of_a_drive_is_by_time(drive, tmp_path):
    frames = [dict(FRAME, timestamp=time) for time in (5, 1, 3, 2, 4)]
    train, val = own(drive, tmp_path, frames, val_share=0.4)
    assert [frame['timestamp'] for frame in frames_of(val.info_file)] == [4, 5]
    assert [frame['timestamp'] for frame in frames_of(train.info_file)] == [1, 2, 3]
    assert 'near-copies' in val.remarks[0]


@pytest.mark.parametrize('cameras, notes', [
    ([['left', 'right']] * 3, []),
    ([['left', 'right'], ['left'], ['left', 'right']], ['1 of 3 frames have no image of right, frame 1 the first']),
    ([['left'], ['right'], ['right']], ['2 of 3 frames have no image of left', '1 of 3 frames have no image of right']),
    ([['left'], ['left'], ['Left']], ['1 of 3 frames have no image of left', '2 of 3 frames have no image of Left'])])
def test_cameras_that_some_frames_lack(cameras, notes, drive, tmp_path):
    frames = [dict(FRAME, images={name: FRAME['images']['left'] for name in names}) for names in cameras]
    split = write_infos(copy.deepcopy(frames), tmp_path / 'infos.pkl', drive)
    assert len(split.remarks) == len(notes) and all(part in note for part, note in zip(notes, split.remarks))
    assert all('SampleCameras' in note for note in split.remarks)
    assert [list(frame['images']) for frame in frames_of(split.info_file)] == cameras


def test_no_frames_and_no_folder(drive, tmp_path):
    with pytest.raises(DataError, match='no frames for .*infos.pkl'):
        write_infos([], tmp_path / 'infos.pkl', drive)
    with pytest.raises(DataError, match='nowhere is not a folder'):
        write_infos([FRAME], tmp_path / 'infos.pkl', tmp_path / 'nowhere')


@pytest.mark.parametrize('test_mode', [False, True])
def test_a_missing_validation_file_tells_what_to_do(test_mode, drive):
    with pytest.raises(DataError, match='no info file .*simipu_infos_val.pkl') as info:
        PairedDataset('simipu_infos_val.pkl', data_root=str(drive), test_mode=test_mode)
    assert ('--val-share 0.1' in str(info.value) and '--no-val' in str(info.value)) == test_mode


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
