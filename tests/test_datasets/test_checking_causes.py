"""What is wrong with a data set is called by its name, not "calibration" whatever it is."""
import re

import mmengine
import numpy as np
import pytest
from board_scenes import LIDAR2CAM, SCENES, write_boards

from simipu.datasets.checking import Report, check_dataset
from simipu.datasets.checking.cloud_checks import check_transposed
from simipu.geometry import mirror_matrix, rotation_matrix


def test_columns_that_are_all_alike_are_told():
    """What readers let through."""
    points = SCENES[0][0]
    assert not list(check_transposed(0, points))
    finding, = check_transposed(7, points.T.copy().reshape(-1, 3))
    assert finding.frame == 7 and 'saved transposed' in finding.message


def check(root, **kwargs) -> Report:
    return check_dataset('simipu_infos_train.pkl', str(root), **kwargs)


def kinds(report: Report) -> list[str]:
    return sorted({finding.kind for finding in report.findings})


def scaled(factor):
    return lambda points, frame: points * [factor, factor, factor, 1]


def moved(matrix):
    return lambda points, frame: np.c_[points[:, :3] @ matrix[:3, :3].T + matrix[:3, 3], points[:, 3]]


def test_sound_boards_pass(tmp_path):
    report = check(write_boards(tmp_path / 'boards', cameras=('LEFT', 'RIGHT')))
    assert report.passed, report.to_text()
    assert report.cameras['LEFT']['calibration']['verdict'] == 'right'


@pytest.mark.parametrize('unit, metres', [('millimetres', 0.001), ('centimetres', 0.01), ('feet', 0.3048),
                                          ('inches', 0.0254), ('kilometres', 1000)])
def test_units_of_the_clouds(unit, metres, tmp_path):
    report = check(write_boards(tmp_path, cloud=scaled(1 / metres)))
    assert kinds(report) == ['units'], report.to_text()
    assert f'the clouds are in {unit}' in report.findings[0].message
    assert f'Multiply x, y and z by {metres:g}' in report.findings[0].message
    assert ('as at a roadside' in report.findings[0].message) == (unit == 'feet')
    assert report.cameras['CAM']['calibration']['verdict'] == 'undecided'


def test_units_of_the_extrinsics(tmp_path):
    def in_millimetres(entry, frame, camera):
        entry['lidar2cam'][:3, 3] *= 1000

    report = check(write_boards(tmp_path, calibration=in_millimetres))
    assert kinds(report) == ['units'], report.to_text()
    assert 'last column of lidar2cam by 0.001 if it is 0.229 m, that is, in millimetres' in report.findings[0].message


@pytest.mark.parametrize('matrix, message', [
    (rotation_matrix(np.pi / 2), 'turned by 90 degrees about z'),
    (rotation_matrix(-np.pi / 2), 'turned by 270 degrees about z'),
    (rotation_matrix(np.pi), 'turned by 180 degrees about z'),
    (mirror_matrix('y'), 'the y axis of the clouds is inverted'),
    (np.eye(4)[[1, 0, 2, 3]], 'x and y of the clouds are exchanged')])
def test_axes_of_the_clouds(matrix, message, tmp_path):
    report = check(write_boards(tmp_path, cloud=moved(matrix)))
    assert kinds(report) == ['axes'], report.to_text()
    assert message in report.findings[0].message


@pytest.mark.parametrize('change, message', [
    (np.linalg.inv, 'lidar2cam is inverted'),
    (lambda pose: np.block([[pose[:3, :3].T, pose[:3, 3:]], [pose[3:]]]), 'the rotation of lidar2cam is transposed')])
def test_poses_the_wrong_way_round(change, message, tmp_path):
    def spoil(entry, frame, camera):
        entry['lidar2cam'] = change(LIDAR2CAM)

    report = check(write_boards(tmp_path, calibration=spoil))
    assert kinds(report) == ['calibration'], report.to_text()
    assert message in report.findings[0].message


@pytest.mark.parametrize('unit', [1 / 150, 1 / 640])
def test_focal_lengths_that_are_not_in_pixels(unit, tmp_path):
    def spoil(entry, frame, camera):
        entry['cam2img'][[0, 1], [0, 1]] *= unit

    report = check(write_boards(tmp_path, num_frames=2, calibration=spoil))
    assert any('Give cam2img in pixels' in finding.message for finding in report.findings), report.to_text()


def test_rotations_of_three_decimals_pass(tmp_path):
    def rounded(entry, frame, camera):
        pose = rotation_matrix(0.31, 'y') @ rotation_matrix(0.72, 'x') @ entry['lidar2cam']
        entry['lidar2cam'][:3] = np.round(pose[:3], 3)

    report = check(write_boards(tmp_path, num_frames=1, calibration=rounded))
    assert not any('orthonormal' in finding.message for finding in report.findings), report.to_text()


@pytest.mark.parametrize('factor', [0.001, 0.4, 2.5, 721.5])
def test_depth_known_up_to_a_factor(factor, tmp_path):
    def spoil(entry, frame, camera):
        entry['lidar2img'] = np.diag([factor, factor, factor, 1]) @ entry.pop('cam2img') @ entry.pop('lidar2cam')

    report = check(write_boards(tmp_path, calibration=spoil))
    assert report.passed, report.to_text()
    note, = [note for note in report.notes if 'known up to a factor' in note]
    assert f'its third row has length {factor:g})' in note


@pytest.mark.parametrize('scale', [0.5, 0.75, 0.8, 2.0])
def test_images_of_another_size_than_the_calibration(scale, tmp_path):
    def spoil(entry, frame, camera):  # as of images 1 / scale as large
        entry['cam2img'] = np.diag([1 / scale, 1 / scale, 1, 1]) @ entry['cam2img']

    report = check(write_boards(tmp_path, calibration=spoil))
    assert kinds(report) == ['size'], report.to_text()
    found = float(re.findall(r'(?:by|about) ([\d.]+)', report.findings[0].message)[-1].rstrip('.'))
    assert found == pytest.approx(scale, rel=0.06)


@pytest.mark.parametrize('odd, change, message', [
    (0, np.linalg.inv, 'it is the inverse of theirs'),
    (3, lambda pose: np.block([[pose[:3, :3].T, pose[:3, 3:]], [pose[3:]]]), 'its rotation is the transpose of theirs'),
    (3, lambda pose: rotation_matrix(0.2) @ pose, 'turned by 11 degrees'),
    (0, lambda pose: rotation_matrix(np.pi) @ pose, 'turned by 180 degrees')])
def test_one_odd_pose_among_good_ones(odd, change, message, tmp_path):
    def spoil(entry, frame, camera):
        if frame == odd:
            entry['lidar2cam'] = change(entry['lidar2cam'])

    report = check(write_boards(tmp_path, num_frames=5, calibration=spoil))
    assert {(finding.kind, finding.frame) for finding in report.findings} <= {
        ('odd calibration', odd), ('odd frame', odd)}, report.to_text()
    assert message in report.findings[0].message
    assert report.cameras['CAM']['calibration']['verdict'] == 'right'


@pytest.mark.parametrize('spoil', [
    lambda points: points.T.copy().reshape(-1, 4), lambda points: points[:, [2, 0, 1, 3]],
    lambda points: points * [-1, -1, 1, 1], lambda points: points[:50]], ids=['transposed', 'zxy', 'behind', 'few'])
def test_one_odd_sweep_among_good_ones(spoil, tmp_path):
    report = check(write_boards(tmp_path, num_frames=5,
                                cloud=lambda points, frame: spoil(points) if frame == 3 else points))
    assert report.findings and {finding.frame for finding in report.findings} == {3}, report.to_text()
    assert set(kinds(report)) <= {'odd cloud', 'odd frame', 'unreadable file'}
    assert report.cameras['CAM']['calibration']['verdict'] == 'right'


@pytest.mark.parametrize('wrong', [[3], [0, 1], [1], [0, 1, 3]])
def test_two_focal_lengths_of_one_camera(wrong, tmp_path):
    def spoil(entry, frame, camera):
        if frame in wrong:
            entry['cam2img'][[0, 1], [0, 1]] *= 1.4

    report = check(write_boards(tmp_path, calibration=spoil))
    messages = [finding.message for finding in report.findings if finding.kind == 'odd calibration']
    assert len(messages) == 1 and '405 pixels' in messages[0] and '567 pixels' in messages[0], report.to_text()


@pytest.mark.parametrize('error', [rotation_matrix(np.radians(3), 'y'), rotation_matrix(np.radians(5), 'y'),
                                   rotation_matrix(np.radians(4), 'x'), rotation_matrix(np.radians(-2), 'x')])
def test_one_camera_of_three_is_off_by_three_images(error, tmp_path):
    def spoil(entry, frame, camera):
        if camera == 'B':
            entry['lidar2cam'] = error @ entry['lidar2cam']

    report = check(write_boards(tmp_path, num_frames=3, cameras=('A', 'B', 'C'), calibration=spoil))
    assert {finding.camera for finding in report.findings} == {'B'}, report.to_text()
    assert 'calibration score' in kinds(report)


@pytest.mark.parametrize('num_frames', [1, 2, 3])
def test_few_sound_frames_give_no_alarm(num_frames, tmp_path):
    assert check(write_boards(tmp_path, num_frames=num_frames)).passed


@pytest.mark.parametrize('offset, word', [(0.21, 'after'), (-0.15, 'before'), (0.5, 'after'), (2.0, 'after')])
def test_late_images_are_a_matter_of_time_not_of_calibration(offset, word, tmp_path):
    """The cloud of every frame but two shows another moment: another scene."""
    root = write_boards(tmp_path, num_frames=5, cloud=lambda points, frame: (
        np.c_[SCENES[5][0], np.zeros(len(SCENES[5][0]))] if frame < 3 else points))
    infos = mmengine.load(root / 'simipu_infos_train.pkl')
    for frame, info in enumerate(infos['data_list']):
        late = offset if frame < 3 else 0.0
        info['images']['CAM']['timestamp'] = info['timestamp'] + late
    mmengine.dump(infos, root / 'simipu_infos_train.pkl')
    report = check(root)
    assert kinds(report) == ['time stamps'], report.to_text()
    assert f'taken {abs(offset):g} s {word} the cloud' in report.findings[0].message
    assert any('3 of CAM' in note for note in report.notes)
