"""The calibration score on scenes of boards, whose calibration is known, and on real frames."""
import mmengine
import numpy as np
import pytest
from board_scenes import CAMERA, HEIGHT, INTRINSICS, LIDAR2CAM, LIDAR2IMG, WIDTH, board_scene

from simipu.datasets.checking import check_dataset
from simipu.datasets.checking.calibration_score import PERTURBATIONS, Perturbation, agreement, judge
from simipu.datasets.checking.depth_edges import find_depth_edges, split_projection
from simipu.datasets.converters import create_kitti_infos
from simipu.geometry import rotation_matrix, to_4x4

SCENES = [board_scene(seed) for seed in range(4)]


def verdict_with(error):
    """Verdict on the scenes with a camera pose that is off by ``error`` (4, 4)."""
    lidar2img = to_4x4(INTRINSICS) @ error @ LIDAR2CAM
    return judge([agreement(points, image, lidar2img) for points, image in SCENES])


def test_right_calibration_is_right():
    verdict = verdict_with(np.eye(4))
    assert verdict.wrong is False and verdict.num_images == 4
    assert verdict.score > 3 and verdict.advantage > 1
    assert verdict.best.is_small


@pytest.mark.parametrize('error', [
    Perturbation(yaw=1.0), Perturbation(yaw=-1.5), Perturbation(pitch=-1.0),
    Perturbation(pitch=1.5), Perturbation(roll=4.0), Perturbation(right=1.0)], ids=str)
def test_small_errors_are_found_and_undone(error):
    verdict = verdict_with(error.matrix())
    assert verdict.wrong is True
    undone = np.array(verdict.best) + np.array(error)
    assert np.abs(undone[:2]).max() <= 0.5 or error.right  # a shift looks much like a rotation


@pytest.mark.parametrize('lidar2cam', [
    LIDAR2CAM @ np.diag([1, -1, 1, 1.]),  # mirrored
    LIDAR2CAM @ rotation_matrix(np.radians(6), 'z'),
    to_4x4(LIDAR2CAM[:3, :3] @ rotation_matrix(0.15, 'z')[:3, :3])],
    ids=['mirror', '6deg', 'other'])
def test_grave_errors_are_found(lidar2cam):
    assert verdict_with(lidar2cam @ np.linalg.inv(LIDAR2CAM)).wrong is True


def test_few_images_or_edges_give_no_verdict():
    points, image = SCENES[0]
    assert judge([agreement(points, image, LIDAR2IMG)]).wrong is None
    assert judge([]).wrong is None
    assert agreement(points[:20], image, LIDAR2IMG) is None
    assert agreement(points[:0], image, LIDAR2IMG) is None


def test_depth_edges_are_the_outlines_of_the_boards_alone():
    """The ground's coarse rings and the wall give none."""
    points, _ = SCENES[0]
    edges = find_depth_edges(points, LIDAR2IMG, (HEIGHT, WIDTH))
    back = np.linalg.inv(LIDAR2CAM)
    near, far = (end @ back[:3, :3].T + back[:3, 3] for end in (edges.near, edges.far))
    assert len(near) > 100
    assert (near[:, 2] > -1.69).mean() > 0.97 and (near[:, 0] < 31).all()
    assert (np.linalg.norm(far - CAMERA, axis=1) > np.linalg.norm(near - CAMERA, axis=1)).all()
    np.testing.assert_allclose(edges.intrinsics, INTRINSICS, atol=1e-6)


def test_projection_is_split_into_intrinsics_and_pose():
    intrinsics, pose = split_projection(LIDAR2IMG)
    np.testing.assert_allclose(intrinsics, INTRINSICS, atol=1e-9)
    np.testing.assert_allclose(pose, LIDAR2CAM, atol=1e-9)


def test_perturbations_move_the_camera_as_they_say():
    point = np.array([0, 0, 10, 1.])
    right, down, _ = (Perturbation(yaw=1).matrix() @ point)[:3]
    assert right == pytest.approx(10 * np.sin(np.radians(1))) and down == 0
    right, down, _ = (Perturbation(pitch=1).matrix() @ point)[:3]
    assert right == 0 and down == pytest.approx(-10 * np.sin(np.radians(1)))
    assert str(Perturbation(yaw=1, down=-0.5)) == 'yaw +1 deg, down -0.5 m'
    assert len(set(PERTURBATIONS)) == len(PERTURBATIONS)


def test_real_frames_pass(real_data, tmp_path):
    create_kitti_infos(real_data / 'kitti', tmp_path)
    kitti = check_dataset(str(tmp_path / 'simipu_infos_train.pkl'), str(real_data / 'kitti'))
    assert kitti.passed, kitti.to_text()
    assert kitti.cameras['CAM2']['calibration']['verdict'] == 'right'
    folder = real_data / 'nuscenes'
    nuscenes = check_dataset(str(next(folder.glob('*.pkl'))), str(folder))
    assert nuscenes.passed, nuscenes.to_text()
    assert len(nuscenes.cameras) == 7
    assert nuscenes.cameras['all cameras']['calibration']['verdict'] == 'right'


def transpose_rotation(pose):
    pose[:3, :3] = pose[:3, :3].T


def swap_axes(pose):
    pose[:, [0, 1]] = pose[:, [1, 0]]


def turn(pose):
    pose[:] = Perturbation(yaw=1.0).matrix() @ pose


@pytest.mark.parametrize('spoil', [transpose_rotation, swap_axes, turn])
def test_real_frames_with_a_wrong_calibration_fail(spoil, real_data, tmp_path):
    create_kitti_infos(real_data / 'kitti', tmp_path)
    info_file = tmp_path / 'simipu_infos_train.pkl'
    infos = mmengine.load(info_file)
    for frame in infos['data_list']:
        image = frame['images']['CAM2']
        pose = np.array(image['lidar2cam'])
        spoil(pose)
        image.update(lidar2cam=pose, lidar2img=to_4x4(image['cam2img']) @ pose)
    mmengine.dump(infos, info_file)
    report = check_dataset(str(info_file), str(real_data / 'kitti'))
    assert not report.passed
    if spoil is turn:
        assert [finding.kind for finding in report.findings] == ['calibration score']
        assert 'yaw -1 deg' in report.findings[0].message
