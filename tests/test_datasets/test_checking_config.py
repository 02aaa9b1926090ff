"""What the check of a config says about its own pipeline, and that following the advice mends it."""
import json
import re
from pathlib import Path

import mmengine
import numpy as np
import pytest
from board_scenes import write_boards
from mmcv.transforms import BaseTransform
from mmdet3d.registry import DATASETS, TRANSFORMS
from mmengine.config import Config, DictAction

from simipu.cli import main
from simipu.config import read_with_overrides
from simipu.datasets.checking import Report, check_config
from simipu.datasets.checking.pipeline_trace import describe_strips, trace_frame
from simipu.datasets.converters import create_kitti_infos
from simipu.engine.launch import with_data_root
from simipu.errors import ConfigError
from simipu.geometry import rotation_matrix, translation_matrix

CONFIG = Path(__file__).resolve().parents[2] / 'configs' / 'simipu_kitti.py'
PIPELINE = 'train_dataloader.dataset.pipeline'
SMALL = {f'{PIPELINE}.3.scale': [(250, 100), (500, 200)], f'{PIPELINE}.5.num_points': 4096}


def config(root: Path, **options) -> Config:
    return with_data_root(read_with_overrides(str(CONFIG), {**SMALL, **options}), str(root))


def check(root: Path, **options) -> Report:
    report, = check_config(config(root, **options))
    return report


def advice(message: str) -> dict:
    """The overrides that a message gives, as ``--cfg-options`` reads them."""
    return {key: DictAction._parse_iterable(value) for key, value in
            re.findall(rf'({PIPELINE}\.\d+\.\w+|model\.[\w.]+)=(\[[^\]]*\]|\w+)', message)}


def in_another_frame(matrix: np.ndarray) -> dict:
    """Clouds and calibration in a LiDAR frame that ``matrix`` (4, 4) takes the original one to."""
    def calibration(entry, frame, camera):
        entry['lidar2cam'] = entry['lidar2cam'] @ np.linalg.inv(matrix)

    return dict(cloud=lambda points, frame: np.c_[points[:, :3] @ matrix[:3, :3].T + matrix[:3, 3], points[:, 3]],
                calibration=calibration)


def test_a_config_that_suits_passes(tmp_path):
    report = check(write_boards(tmp_path))
    assert report.passed and not report.warnings, report.to_text()
    assert report.cameras['CAM']['pairs']['min'] > 3000


@pytest.mark.parametrize('matrix, part, axis', [
    (rotation_matrix(np.pi / 2), 'the left half', '+y'), (rotation_matrix(-np.pi / 2), 'the right half', '-y'),
    (rotation_matrix(np.pi), 'the whole image', '-x'), (rotation_matrix(2.0), 'without points', '+y')])
def test_a_range_for_other_axes_is_found_and_mended(matrix, part, axis, tmp_path):
    root = write_boards(tmp_path, num_frames=2, **in_another_frame(matrix))
    report = check(root)
    assert [finding.kind for finding in report.findings] == ['range filter'], report.to_text()
    message = report.findings[0].message
    assert part in message and f'the cameras look along {axis}' in message
    assert f'{PIPELINE}.2.point_cloud_range' in advice(message) and f'{PIPELINE}.6.centre' in advice(message)
    assert check(root, **advice(message)).passed


@pytest.mark.parametrize('height, part', [(1.7, 'nothing higher than'), (-1.6, 'the ground is cut off'),
                                          (-2.5, 'the ground is cut off'), (0.9, 'nothing higher than')])
def test_a_range_for_another_height_is_found_and_mended(height, part, tmp_path):
    """1.7: the vehicle's frame, on the ground. Below 0: a LiDAR on a high vehicle."""
    root = write_boards(tmp_path, num_frames=2, **in_another_frame(translation_matrix([0, 0, height])))
    report = check(root)
    assert [finding.kind for finding in report.findings] == ['range filter'], report.to_text()
    assert part in report.findings[0].message
    assert check(root, **advice(report.findings[0].message)).passed


@pytest.mark.parametrize('metres', [0.001, 0.01, 0.3048])
def test_other_units_are_not_explained_by_the_range(metres, tmp_path):
    report = check(write_boards(tmp_path, num_frames=2, cloud=lambda points, _: points / [*[metres] * 3, 1]))
    assert [finding.kind for finding in report.findings] == ['units'], report.to_text()


@pytest.mark.parametrize('full_scale', [100, 255, 4095, 65535])
def test_intensities_out_of_range_are_told_with_the_range_found(full_scale, tmp_path):
    root = write_boards(tmp_path, num_frames=2, cloud=lambda points, _: points * [1, 1, 1, full_scale])
    warning, = check(root).warnings
    low, high = map(float, re.search(r'as (\S+) to (\S+) \(', warning).groups())
    assert low == pytest.approx(0.01 * full_scale, rel=0.3) and high == pytest.approx(0.99 * full_scale, rel=0.05)
    assert not check(root, **advice(warning)).warnings
    assert check(root).warnings == [warning]  # points are drawn, the same ones each time


@TRANSFORMS.register_module()
class KeepPoints(BaseTransform):
    """A filter of the user's own: keeps points whose y lies within some limits."""

    def __init__(self, y: tuple[float, float]) -> None:
        self.y = y

    def transform(self, results: dict) -> dict:
        y = results['points'].coord[:, 1]
        results['points'] = results['points'][(y > self.y[0]) & (y < self.y[1])]
        return results


@pytest.mark.parametrize('y, part', [((-100, 0), 'the left half'), ((0, 100), 'the right half'),
                                     ((-100, -3), 'the left '), ((3, 100), 'the right ')])
def test_a_side_without_pairs_is_told_whatever_filter_emptied_it(y, part, tmp_path):
    cfg = config(write_boards(tmp_path, num_frames=2))
    cfg.train_dataloader.dataset.pipeline.insert(2, dict(type='KeepPoints', y=y))
    report, = check_config(cfg)
    assert [finding.kind for finding in report.findings] == ['no pairs'], report.to_text()
    assert part in report.findings[0].message


def test_a_crop_is_no_fault(tmp_path):
    cfg = config(write_boards(tmp_path, num_frames=2))
    cfg.train_dataloader.dataset.pipeline[3:5] = [dict(type='ResizeImages', scale=(500, 200)),
                                                  dict(type='CropImages', size=(200, 200), mode='center')]
    report, = check_config(cfg)
    assert report.passed, report.to_text()


def test_all_cameras_get_their_turn_where_some_are_sampled(tmp_path):
    root = write_boards(tmp_path, num_frames=1, cameras=('A', 'B', 'C'))
    cfg = config(root)
    cfg.train_dataloader.dataset.pipeline.insert(0, dict(type='SampleCameras', num_cameras=2))
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    traces = list(trace_frame(dataset.get_data_info(0), dataset.pipeline.transforms))
    assert [trace.camera for trace in traces] == ['A', 'B', 'C']
    assert min(trace.pairs for trace in traces) > 3000


def test_every_data_set_of_a_mixture_is_checked_at_its_place(tmp_path):
    cfg = config(write_boards(tmp_path / 'a', num_frames=1))
    first = cfg.train_dataloader.dataset
    second = dict(first, data_root=str(write_boards(
        tmp_path / 'b', num_frames=1, **in_another_frame(rotation_matrix(np.pi / 2)))))
    cfg.train_dataloader.dataset = dict(type='ConcatDataset', datasets=[first, second])
    sound, turned = check_config(cfg)
    assert sound.passed and 'train_dataloader.dataset.datasets.1.pipeline.2' in turned.findings[0].message
    with pytest.raises(ConfigError, match='no PairedDataset in test_dataloader'):
        check_config(Config(dict(test_dataloader=None)), 'test')


def test_clouds_of_different_widths_are_told(tmp_path):
    root = write_boards(tmp_path)
    infos = mmengine.load(root / 'simipu_infos_train.pkl')
    lidar = infos['data_list'][0]['lidar_points']
    points = np.fromfile(root / lidar['lidar_path'], np.float32).reshape(-1, lidar['num_pts_feats'])
    points[:, :3].tofile(root / lidar['lidar_path'])
    lidar['num_pts_feats'] = 3
    mmengine.dump(infos, root / 'simipu_infos_train.pkl')
    finding, = check(root).findings
    assert '3 values, of others 4' in finding.message
    assert not check(root, **advice(finding.message)).findings


def test_another_width_than_the_encoder_takes_is_found_and_mended(tmp_path):
    root = write_boards(tmp_path)
    given = {f'{PIPELINE}.0.use_dim': 3}
    finding, = check(root, **given).findings
    assert 'the points have 3 values, and the point encoder takes 4' in finding.message
    assert finding.message.endswith('Set model.point_encoder.in_channels=3')
    assert check(root, **given, **{'model.point_encoder.in_channels': 3}).passed


@pytest.mark.parametrize('arguments, message', [
    (['INFO', '--split', 'val', '--cfg-options', 'a=1'], '--split, --cfg-options: of no effect on an info file'),
    (['CONFIG', '--cameras', 'CAM', '--load-dim', '5'], '--cameras, --load-dim: of no effect on a config'),
    (['INFO', '--data-prefix', 'pts'], '--data-prefix pts: expected KEY=FOLDER'),
    (['INFO', '--data-prefix', '=x'], '--data-prefix =x: expected KEY=FOLDER')])
def test_options_of_no_effect_are_refused(arguments, message, tmp_path, capsys):
    files = dict(CONFIG=str(CONFIG), INFO=str(tmp_path / 'infos.pkl'))
    with pytest.raises(SystemExit) as status:
        main(['check-dataset', *(files.get(argument, argument) for argument in arguments)])
    assert status.value.code == 2 and message in capsys.readouterr().err


@pytest.mark.parametrize('sample', ['0', '-1', 'most'])
def test_a_sample_is_a_count(sample, capsys):
    with pytest.raises(SystemExit) as status:
        main(['check-dataset', 'infos.pkl', '--sample', sample])
    assert status.value.code == 2 and 'expected a whole number of at least 1' in capsys.readouterr().err


def test_the_command_takes_configs(tmp_path, capsys):
    root = write_boards(tmp_path / 'turned', num_frames=1, **in_another_frame(rotation_matrix(np.pi / 2)))
    small = [f'{key}={str(value).replace(" ", "")}' for key, value in SMALL.items()]
    command = ['check-dataset', str(CONFIG), '--data-root', str(root), '--json', str(tmp_path / 'report.json')]
    with pytest.raises(SystemExit) as stopped:
        main([*command, '--cfg-options', *small])
    assert stopped.value.code == 1 and 'range filter (1):' in capsys.readouterr().out
    found = advice(json.loads((tmp_path / 'report.json').read_text())['findings'][0]['message'])
    main([*command, '--cfg-options', *small,
          *(f'{key}={str(value).replace(" ", "")}' for key, value in found.items())])
    assert 'passed' in capsys.readouterr().out


def test_the_command_takes_info_files_in_json(tmp_path, capsys):
    root = write_boards(tmp_path, num_frames=1)
    infos = mmengine.load(root / 'simipu_infos_train.pkl')
    (root / 'infos.json').write_text(json.dumps(infos, default=lambda value: value.tolist()))
    main(['check-dataset', str(root / 'infos.json')])
    assert 'infos.json' in (said := capsys.readouterr().out) and 'passed' in said


def test_parts_of_an_image_have_names():
    names = [describe_strips(np.array(strips)) for strips in
             (range(10), range(10, 20), range(20), range(6), range(15, 20), range(5, 10))]
    assert names == ['the left half', 'the right half', 'the whole image', 'the left 30%', 'the right 25%',
                     'the part from 25% to 50% of the width']


def test_configs_of_real_sets_pass_on_real_frames(real_data, tmp_path):
    create_kitti_infos(real_data / 'kitti', tmp_path)
    cfg = with_data_root(read_with_overrides(str(CONFIG), {
        'train_dataloader.dataset.ann_file': str(tmp_path / 'simipu_infos_train.pkl')}), str(real_data / 'kitti'))
    report, = check_config(cfg)
    assert report.passed and not report.warnings, report.to_text()
    cfg = with_data_root(read_with_overrides(str(CONFIG.parent / 'simipu_r50_16xb2-100e_nuscenes.py'), {
        'train_dataloader.dataset.ann_file': next((real_data / 'nuscenes').glob('*.pkl')).name}),
        str(real_data / 'nuscenes'))
    report, = check_config(cfg)
    assert report.passed and not report.warnings, report.to_text()
