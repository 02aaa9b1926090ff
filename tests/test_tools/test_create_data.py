"""The command line of tools/create_data.py."""
import json
import runpy
import sys
from pathlib import Path

import mmengine
import numpy as np
import pytest

TOOL = str(Path(__file__).resolve().parents[2] / 'tools/create_data.py')


def run(monkeypatch, *arguments) -> None:
    monkeypatch.setattr(sys, 'argv', [TOOL, *map(str, arguments)])
    runpy.run_path(TOOL, run_name='__main__')


def test_kitti_reports_what_it_wrote(real_data, tmp_path, monkeypatch, capsys):
    run(monkeypatch, 'kitti', '--root-path', real_data / 'kitti', '--out-dir', tmp_path,
        '--splits', 'train')
    info_file = tmp_path / 'simipu_infos_train.pkl'
    assert f'{info_file}: 4 frames, clouds from training/velodyne' in capsys.readouterr().out
    assert len(mmengine.load(info_file)['data_list']) == 4


def test_synthetic_writes_frames_and_info_files(tmp_path, monkeypatch):
    arguments = ('synthetic', '--out-dir', tmp_path, '--num-frames', 2, '--image-size', 64, 32,
                 '--num-workers', 1)
    run(monkeypatch, *arguments, '--seed', 3)
    frames = mmengine.load(tmp_path / 'simipu_infos_train.pkl')['data_list']
    camera = frames[0]['images']['CAM2']
    assert len(frames) == 2 and (camera['width'], camera['height']) == (64, 32)
    with pytest.raises(SystemExit, match='seed'):
        run(monkeypatch, *arguments, '--seed', 4)


def test_the_yard_comes_in_the_layout_of_kitti_only(tmp_path, monkeypatch):
    yard = ('synthetic', '--world', 'yard', '--out-dir', tmp_path, '--num-frames', 1, '--image-size', 64, 32)
    with pytest.raises(SystemExit, match='error: --world yard is written in the layout of KITTI only'):
        run(monkeypatch, *yard, '--layout', 'nuscenes')
    assert not list(tmp_path.iterdir())
    run(monkeypatch, *yard, '--num-workers', 1)
    assert len(mmengine.load(tmp_path / 'simipu_infos_train.pkl')['data_list']) == 1
    assert json.loads((tmp_path / 'synthetic.json').read_text())['world'] == 'yard'


def test_synthetic_nuscenes_is_converted_by_its_own_command(tmp_path, monkeypatch, capsys):
    run(monkeypatch, 'synthetic', '--layout', 'nuscenes', '--out-dir', tmp_path / 'data',
        '--num-frames', 2, '--image-size', 64, 36, '--num-workers', 1)
    capsys.readouterr()
    run(monkeypatch, 'nuscenes', '--root-path', tmp_path / 'data', '--out-dir', tmp_path,
        '--version', 'v1.0-mini', '--cameras', 'CAM_BACK', '--every', 2, '--num-workers', 1)
    assert '1 frames, clouds from samples/LIDAR_TOP' in capsys.readouterr().out
    whole = mmengine.load(tmp_path / 'data/simipu_infos_train.pkl')['data_list']
    part, = mmengine.load(tmp_path / 'simipu_infos_train.pkl')['data_list']
    assert [len(frame['images']) for frame in whole] == [6, 6]
    assert part['images'] == dict(CAM_BACK=whole[0]['images']['CAM_BACK'])


def test_own_frames_from_json_lines(real_data, tmp_path, monkeypatch, capsys):
    """The real frames of KITTI as if they were somebody's own."""
    run(monkeypatch, 'kitti', '--root-path', real_data / 'kitti', '--out-dir', tmp_path)
    frames = mmengine.load(tmp_path / 'simipu_infos_train.pkl')['data_list']
    lines = [json.dumps(dict(frame, split='mine')) for frame in frames]
    (tmp_path / 'frames.jsonl').write_text('\n'.join(lines))
    run(monkeypatch, 'jsonl', '--frames', tmp_path / 'frames.jsonl', '--root-path',
        real_data / 'kitti', '--out-dir', tmp_path)
    assert '4 frames, clouds from training/velodyne' in capsys.readouterr().out
    mine = mmengine.load(tmp_path / 'simipu_infos_mine.pkl')['data_list']
    assert mine == [dict(frame, split='mine') for frame in frames]


def test_options_of_own_frames(real_data, tmp_path, monkeypatch, capsys):
    """Real frames whose calibration is in millimetres, one sequence named for validation."""
    run(monkeypatch, 'kitti', '--root-path', real_data / 'kitti', '--out-dir', tmp_path)
    frames = mmengine.load(tmp_path / 'simipu_infos_train.pkl')['data_list']
    lines = []
    for number, frame in enumerate(frames):
        camera = dict(frame['images']['CAM2'])
        del camera['lidar2img']
        camera['lidar2cam'] = [[*row[:3], row[3] * 1000] for row in camera['lidar2cam'][:3]] + [[0, 0, 0, 1]]
        camera['cam2img'] = [[*row[:3], row[3] * 1000] for row in camera['cam2img'][:3]]
        lines.append(json.dumps(dict(frame, sequence=f'0{number}', images=dict(CAM2=camera))))
    (tmp_path / 'frames.jsonl').write_text('\n'.join(lines))
    run(monkeypatch, 'jsonl', '--frames', tmp_path / 'frames.jsonl', '--root-path', real_data / 'kitti', '--out-dir',
        tmp_path / 'out', '--val-scenes', '02', '--calibration-unit', 'mm')
    assert 'note: validation: 1 of 4 frames, those of 02' in capsys.readouterr().out
    val, = mmengine.load(tmp_path / 'out/simipu_infos_val.pkl')['data_list']
    assert np.array(val['images']['CAM2']['lidar2img']) == pytest.approx(
        np.array(frames[2]['images']['CAM2']['lidar2img']))


@pytest.mark.parametrize('command, message', [
    ('kitti_raw', 'expected KITTI raw data'), ('kitti_odometry', 'expected the KITTI odometry set'),
    ('waymo', 'expected the kitti_format folder'), ('nuscenes', 'expected nuScenes there')])
def test_every_converter_has_its_command(command, message, tmp_path, monkeypatch, capsys):
    with pytest.raises(SystemExit, match=message):
        run(monkeypatch, command, '--root-path', tmp_path / 'nowhere', '--out-dir', tmp_path)
    with pytest.raises(SystemExit):
        run(monkeypatch, command, '--root-path', tmp_path, '--out-dir', tmp_path, '--scenes', 2)
    assert "argument --scenes: expected a share above 0 and up to 1, such as 0.1, found '2'" in capsys.readouterr().err


def test_bad_data_is_one_clear_line(tmp_path, monkeypatch):
    with pytest.raises(SystemExit) as exit_info:
        run(monkeypatch, 'kitti', '--root-path', tmp_path / 'nowhere', '--out-dir', tmp_path)
    # A text as exit code is printed to stderr without traceback, and the process returns 1.
    assert exit_info.value.code.startswith(f'error: {tmp_path}/nowhere is not a folder; expected')
