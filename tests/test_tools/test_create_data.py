"""The command line of tools/create_data.py."""
import runpy
import sys
from pathlib import Path

import mmengine
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


def test_bad_data_is_one_clear_line(tmp_path, monkeypatch):
    with pytest.raises(SystemExit) as exit_info:
        run(monkeypatch, 'kitti', '--root-path', tmp_path / 'nowhere', '--out-dir', tmp_path)
    # A text as exit code is printed to stderr without traceback, and the process returns 1.
    assert exit_info.value.code.startswith(f'\nerror: {tmp_path}/nowhere is not a folder; expected')
