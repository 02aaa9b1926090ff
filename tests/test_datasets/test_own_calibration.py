"""Poses, map coordinates, units and unknown factors of a user's calibration, against projections point by point."""
import copy

import cv2
import mmengine
import numpy as np
import pytest

from simipu.datasets import PairedDataset
from simipu.datasets.converters import Coordinates, write_infos
from simipu.errors import DataError

RNG = np.random.default_rng(0)
CAM2IMG = np.array([[60.0, 0, 47.5], [0, 60.0, 23.5], [0, 0, 1]])
# x ahead, y left, z up to x right, y down, z ahead.
AXES = np.array([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]])
UTM = np.array([512345.25, 5403210.5, 310.75])


def pose(yaw: float, pitch: float, translation) -> np.ndarray:
    """4x4, of a body that is turned by these radians and stands there."""
    matrix = np.eye(4)
    matrix[:2, :2] = [[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]]
    turn = np.array([[np.cos(pitch), 0, np.sin(pitch)], [0, 1, 0], [-np.sin(pitch), 0, np.cos(pitch)]])
    matrix[:3, :3] = matrix[:3, :3] @ turn
    matrix[:3, 3] = translation
    return matrix


LIDAR2EGO = pose(0.02, 0.01, [0.5, 0, 1.8])
CAM2EGO = pose(0.1, 0.03, [1.6, 0.2, 1.5]) @ np.block([[AXES.T, np.zeros((3, 1))], [np.zeros((1, 3)), 1]])
EGO_AT_CLOUD, EGO_AT_IMAGE = pose(0.7, 0, UTM), pose(0.73, 0.004, UTM + [0.8, 0.6, 0.01])
LIDAR2CAM = np.linalg.inv(CAM2EGO) @ LIDAR2EGO
WORLD = (EGO_AT_CLOUD @ np.c_[RNG.uniform([8, -4, 0.5], [40, 4, 3], (60, 3)), np.ones(60)].T).T[:, :3]


def seen_from(points: np.ndarray, to_frame: np.ndarray) -> np.ndarray:
    return points @ to_frame[:3, :3].T + to_frame[:3, 3]


def expected(camera_pose: np.ndarray) -> np.ndarray:
    """(N, 3): u, v and depth in metres of the world's points in a camera of that pose in the world."""
    x, y, z = seen_from(WORLD, np.linalg.inv(camera_pose)).T
    return np.c_[60 * x / z + 47.5, 60 * y / z + 23.5, z]


def convert(tmp_path, points, image, file_type='.bin', coordinates=Coordinates(), lidar=None, **frame) -> np.ndarray:
    """(N, 3): u, v and depth of the cloud's points, as the info file and the files that it names have them."""
    path = tmp_path / f'cloud{file_type}'
    values = np.c_[points, np.linspace(0, 1, len(points))]
    np.save(path, values) if file_type == '.npy' else values.astype(np.float32).tofile(path)
    cv2.imwrite(str(tmp_path / 'image.png'), np.zeros((48, 96, 3), np.uint8))
    frames = [dict(frame, lidar_points=dict(lidar_path=path.name, num_pts_feats=4, **(lidar or {})),
                   images=dict(front=dict(image, img_path='image.png')))]
    write_infos(copy.deepcopy(frames), tmp_path / 'infos.pkl', tmp_path, num_workers=1, coordinates=coordinates)
    info = PairedDataset('infos.pkl', data_root=str(tmp_path)).get_data_info(0)
    cloud = np.fromfile(info['lidar_path'], np.float32).reshape(-1, 4)
    np.testing.assert_allclose(cloud[:, 3], values[:, 3], rtol=1e-6)
    u, v, depth = info['lidar2img'][0][:3] @ np.c_[cloud[:, :3], np.ones(len(cloud))].T
    return np.c_[u / depth, v / depth, depth]


def check(found: np.ndarray, camera_pose: np.ndarray) -> None:
    np.testing.assert_allclose(found, expected(camera_pose), atol=2e-3)


IN_LIDAR = seen_from(WORLD, np.linalg.inv(EGO_AT_CLOUD @ LIDAR2EGO))
IN_EGO = seen_from(WORLD, np.linalg.inv(EGO_AT_CLOUD))


def test_poses_of_the_sensors(tmp_path):
    """A vehicle at rest: both poses in its frame."""
    found = convert(tmp_path, IN_LIDAR, dict(cam2img=CAM2IMG, cam2ego=CAM2EGO), lidar=dict(lidar2ego=LIDAR2EGO))
    check(found, EGO_AT_CLOUD @ CAM2EGO)


def test_motion_between_cloud_and_image(tmp_path):
    found = convert(tmp_path, IN_LIDAR, dict(cam2img=CAM2IMG, cam2ego=CAM2EGO, ego2global=EGO_AT_IMAGE),
                    lidar=dict(lidar2ego=LIDAR2EGO), ego2global=EGO_AT_CLOUD)
    check(found, EGO_AT_IMAGE @ CAM2EGO)
    assert np.abs(expected(EGO_AT_IMAGE @ CAM2EGO) - expected(EGO_AT_CLOUD @ CAM2EGO))[:, 0].max() > 2


@pytest.mark.parametrize('ego', [False, True])
def test_clouds_in_the_ego_frame(ego, tmp_path):
    motion = (dict(ego2global=EGO_AT_IMAGE), dict(ego2global=EGO_AT_CLOUD)) if ego else ({}, {})
    found = convert(tmp_path, IN_EGO, dict(cam2img=CAM2IMG, cam2ego=CAM2EGO, **motion[0]),
                    coordinates=Coordinates(clouds_in='ego'), **motion[1])
    check(found, (EGO_AT_IMAGE if ego else EGO_AT_CLOUD) @ CAM2EGO)


GLOBAL2CAM = np.linalg.inv(EGO_AT_IMAGE @ CAM2EGO)


@pytest.mark.parametrize('image', [
    dict(cam2img=CAM2IMG, lidar2cam=GLOBAL2CAM), dict(lidar2img=CAM2IMG @ GLOBAL2CAM[:3]),
    dict(cam2img=CAM2IMG, cam2ego=CAM2EGO, ego2global=EGO_AT_IMAGE)], ids=['lidar2cam', 'lidar2img', 'poses'])
@pytest.mark.parametrize('pose_of_cloud', [False, True])
def test_clouds_in_map_coordinates(image, pose_of_cloud, tmp_path):
    found = convert(tmp_path, WORLD, image, '.npy', Coordinates(clouds_in='global'),
                    **(dict(ego2global=EGO_AT_CLOUD) if pose_of_cloud else {}))
    check(found, EGO_AT_IMAGE @ CAM2EGO)
    info, = mmengine.load(tmp_path / 'infos.pkl')['data_list']
    path = info['lidar_points']['lidar_path']
    assert path.startswith('simipu_clouds/cloud.') and path.endswith('.bin')
    cloud = np.fromfile(tmp_path / path, np.float32).reshape(-1, 4)
    if pose_of_cloud:
        np.testing.assert_allclose(cloud[:, :3], IN_EGO, atol=1e-4)
    else:
        assert np.linalg.norm(cloud[:, :3], axis=1).max() < 50


@pytest.mark.parametrize('image', [
    dict(cam2img=CAM2IMG, lidar2cam=GLOBAL2CAM), dict(lidar2img=CAM2IMG @ GLOBAL2CAM[:3]),
    dict(lidar2img=3.7 * (CAM2IMG @ GLOBAL2CAM[:3]))])
def test_cameras_far_from_the_cloud(image, tmp_path):
    """Rigid, so not singular; the message names the option that mends it, and following it works."""
    with pytest.raises(DataError, match='front: the camera is .* m from the origin .*recentre.*--clouds-in global'):
        convert(tmp_path, IN_LIDAR, image)
    convert(tmp_path, WORLD, image, '.npy', Coordinates(clouds_in='global'))


def test_a_cloud_of_another_place(tmp_path):
    """Map coordinates of another zone than the calibration's."""
    elsewhere = dict(cam2img=CAM2IMG, lidar2cam=np.linalg.inv(pose(0, 0, [0, 4.5e6, 0])))
    with pytest.raises(DataError, match='front: the camera is 4.5e.06 m from'):
        convert(tmp_path, IN_LIDAR, elsewhere)
    with pytest.raises(DataError, match='cloud.npy lies .* m from the vehicle; .* the same map coordinates'):
        convert(tmp_path, WORLD, elsewhere, '.npy', Coordinates(clouds_in='global'))


@pytest.mark.parametrize('points, option', [(WORLD, '--clouds-in global'), (IN_LIDAR * 1e4, '--cloud-unit mm')])
def test_clouds_that_need_an_option_name_it(points, option, tmp_path):
    with pytest.raises(DataError, match=f'no LiDAR gives.*{option}'):
        convert(tmp_path, points, dict(cam2img=CAM2IMG, lidar2cam=LIDAR2CAM), '.npy')


def test_frames_that_share_a_map_get_clouds_of_their_own(tmp_path):
    """Two images of different poses with one cloud; and names that differ in what follows their last dot."""
    for name in ('map.npy', 'map.25.npy', 'map.75.npy'):
        np.save(tmp_path / name, np.c_[WORLD, np.zeros(len(WORLD))])
    cv2.imwrite(str(tmp_path / 'image.png'), np.zeros((48, 96, 3), np.uint8))
    places = [('map.npy', EGO_AT_CLOUD), ('map.npy', EGO_AT_IMAGE), ('map.25.npy', EGO_AT_IMAGE),
              ('map.75.npy', EGO_AT_IMAGE)]
    write_infos([dict(lidar_points=dict(lidar_path=name), ego2global=place, images=dict(front=dict(
        img_path='image.png', cam2img=CAM2IMG, lidar2cam=GLOBAL2CAM))) for name, place in places],
        tmp_path / 'infos.pkl', tmp_path, 1, Coordinates('global'))
    paths = [info['lidar_points']['lidar_path'] for info in mmengine.load(tmp_path / 'infos.pkl')['data_list']]
    assert len(set(paths)) == 4
    for path, (_, place) in zip(paths, places):
        found = np.fromfile(tmp_path / path, np.float32).reshape(-1, 4)[:, :3]
        np.testing.assert_allclose(found, seen_from(WORLD, np.linalg.inv(place)), atol=1e-4)


@pytest.mark.parametrize('name', ['front\u3000left.npy', 'a\u00a0b.npy', 'straße 1.npy'])
def test_spaces_and_letters_of_all_scripts_in_paths(name, tmp_path):
    np.save(tmp_path / name, np.c_[IN_LIDAR, np.zeros(len(IN_LIDAR))])
    cv2.imwrite(str(tmp_path / 'image.png'), np.zeros((48, 96, 3), np.uint8))
    write_infos([dict(lidar_points=dict(lidar_path=name), images=dict(front=dict(
        img_path='image.png', cam2img=CAM2IMG, lidar2cam=LIDAR2CAM)))], tmp_path / 'infos.pkl', tmp_path, 1)
    assert PairedDataset('infos.pkl', data_root=str(tmp_path)).get_data_info(0)['lidar_path'].endswith(name)


def test_beams_without_return_are_not_moved(tmp_path):
    """At the origin of the map they would become points."""
    points = np.r_[WORLD, np.zeros((3, 3)), np.full((2, 3), np.nan)]
    np.save(tmp_path / 'cloud.npy', np.c_[points, np.zeros(len(points))])
    cv2.imwrite(str(tmp_path / 'image.png'), np.zeros((48, 96, 3), np.uint8))
    frame = dict(lidar_points=dict(lidar_path='cloud.npy'),
                 images=dict(front=dict(img_path='image.png', cam2img=CAM2IMG, lidar2cam=GLOBAL2CAM)))
    write_infos([frame], tmp_path / 'infos.pkl', tmp_path, 1, Coordinates('global'))
    written, = (tmp_path / 'simipu_clouds').iterdir()
    assert len(np.fromfile(written, np.float32)) == 4 * len(WORLD)


def test_map_coordinates_that_float32_rounds(tmp_path):
    with pytest.raises(DataError, match=r'cloud.bin holds coordinates up to 540\d+ as float32, .* to 0.5 m; export'):
        convert(tmp_path, WORLD, dict(cam2img=CAM2IMG, lidar2cam=GLOBAL2CAM), '.bin', Coordinates(clouds_in='global'))


@pytest.mark.parametrize('unit, factor', [('mm', 1000), ('cm', 100), ('m', 1)])
def test_units(unit, factor, tmp_path):
    """Clouds, calibration or both are in another unit; depth is in metres all the same."""
    in_unit = LIDAR2CAM.copy()
    in_unit[:3, 3] *= factor
    for image in (dict(cam2img=CAM2IMG, lidar2cam=in_unit), dict(lidar2img=CAM2IMG @ in_unit[:3])):
        check(convert(tmp_path, IN_LIDAR, image, coordinates=Coordinates(calibration_unit=unit)),
              EGO_AT_CLOUD @ CAM2EGO)
        check(convert(tmp_path, IN_LIDAR * factor, image,
                      coordinates=Coordinates(cloud_unit=unit, calibration_unit=unit)), EGO_AT_CLOUD @ CAM2EGO)
    check(convert(tmp_path, IN_LIDAR * factor, dict(lidar2img=CAM2IMG @ LIDAR2CAM[:3]),
                  coordinates=Coordinates(cloud_unit=unit)), EGO_AT_CLOUD @ CAM2EGO)


def homogeneous(matrix) -> np.ndarray:
    return np.vstack([matrix, [0, 0, 0, 1]])


@pytest.mark.parametrize('image', [
    dict(lidar2img=2.5 * (CAM2IMG @ LIDAR2CAM[:3])), dict(lidar2img=1e-4 * (CAM2IMG @ LIDAR2CAM[:3])),
    dict(lidar2img=-0.3 * homogeneous(CAM2IMG @ -LIDAR2CAM[:3])),
    dict(lidar2img=721.5 * homogeneous(CAM2IMG @ LIDAR2CAM[:3])),
    dict(cam2img=4 * CAM2IMG, lidar2cam=LIDAR2CAM), dict(cam2img=CAM2IMG / 60, lidar2cam=LIDAR2CAM)])
def test_projections_known_up_to_a_factor(image, tmp_path):
    check(convert(tmp_path, IN_LIDAR, image), EGO_AT_CLOUD @ CAM2EGO)


@pytest.mark.parametrize('factor', [-1, -2.5, -0.01])
def test_negative_factors_are_refused_with_the_factor(factor, tmp_path):
    matrix = factor * (CAM2IMG @ LIDAR2CAM[:3])
    with pytest.raises(DataError, match=rf'lidar2img has a negative determinant.*multiply .* by {-1 / -factor:.6g};'):
        convert(tmp_path, IN_LIDAR, dict(lidar2img=matrix))
    check(convert(tmp_path, IN_LIDAR, dict(lidar2img=matrix / factor)), EGO_AT_CLOUD @ CAM2EGO)


def test_info_files_of_others_are_scaled_too(tmp_path):
    """Those that this project has not written."""
    matrix = homogeneous(CAM2IMG @ LIDAR2CAM[:3])
    frames = [dict(lidar_points=dict(lidar_path='a.bin'), images=dict(a=dict(img_path='a.png', lidar2img=scaled)))
              for scaled in (matrix, 7 * matrix, np.vstack([0.2 * matrix[:3], matrix[3:]]))]
    mmengine.dump(dict(data_list=frames), tmp_path / 'infos.pkl')
    dataset = PairedDataset('infos.pkl', data_root=str(tmp_path))
    for index in range(3):
        np.testing.assert_allclose(dataset.get_data_info(index)['lidar2img'][0], matrix, rtol=1e-9, atol=1e-9)


def test_info_files_of_others_in_map_coordinates(tmp_path):
    image = dict(img_path='a.png', cam2img=CAM2IMG, lidar2cam=GLOBAL2CAM)
    mmengine.dump(dict(data_list=[dict(lidar_points=dict(lidar_path='a.bin'), images=dict(front=image))]),
                  tmp_path / 'infos.pkl')
    with pytest.raises(DataError, match='camera front: the camera is .* m from the origin .*--clouds-in global'):
        PairedDataset('infos.pkl', data_root=str(tmp_path)).get_data_info(0)


@pytest.mark.parametrize('image, lidar, frame, clouds_in, message', [
    (dict(cam2img=CAM2IMG, cam2ego=CAM2EGO), {}, {}, 'lidar', 'cam2ego needs lidar_points.lidar2ego.*--clouds-in ego'),
    (dict(cam2img=CAM2IMG, cam2ego=CAM2EGO), dict(lidar2ego=LIDAR2EGO), {}, 'ego',
     'found lidar2ego, but --clouds-in ego'),
    (dict(cam2img=CAM2IMG, cam2ego=CAM2EGO, lidar2cam=LIDAR2CAM), {}, {}, 'lidar', 'both lidar2cam and cam2ego'),
    (dict(cam2img=CAM2IMG, cam2ego=CAM2EGO), dict(lidar2ego=LIDAR2EGO), dict(ego2global=EGO_AT_CLOUD), 'lidar',
     'ego2global of the cloud, but none of the image'),
    (dict(cam2img=CAM2IMG, cam2ego=CAM2EGO, ego2global=EGO_AT_IMAGE), dict(lidar2ego=LIDAR2EGO), {}, 'lidar',
     'ego2global of the image, but none of the cloud'),
    (dict(cam2img=CAM2IMG, cam2ego=CAM2EGO), {}, {}, 'global', 'cam2ego needs ego2global of the image'),
    (dict(cam2ego=CAM2EGO), dict(lidar2ego=LIDAR2EGO), {}, 'lidar', 'expected lidar2img, or cam2img and one of'),
    (dict(cam2img=CAM2IMG, lidar2cam=LIDAR2CAM.T), {}, {}, 'lidar', 'last row of lidar2cam .*transposed'),
    (dict(cam2img=CAM2IMG.T, lidar2cam=LIDAR2CAM), {}, {}, 'lidar', 'third row of cam2img .*transposed'),
    (dict(cam2img=CAM2IMG, lidar2cam=LIDAR2CAM @ np.diag([2, 2, 2, 1])), {}, {}, 'lidar', 'lidar2cam is no rotation'),
    (dict(cam2img=CAM2IMG, lidar2cam=LIDAR2CAM @ np.diag([1, -1, 1, 1])), {}, {}, 'lidar', 'lidar2cam is no rotation'),
    (dict(cam2img=CAM2IMG, lidar2cam=LIDAR2CAM, lidar2img=np.eye(4)), {}, {}, 'lidar',
     'lidar2img is not cam2img @ lidar2cam'),
    (dict(cam2img=CAM2IMG, lidar2cam=LIDAR2CAM), {}, {}, 'car',
     "clouds_in: expected lidar or ego or global, found 'car'"),
])
def test_calibrations_that_cannot_be(image, lidar, frame, clouds_in, message, tmp_path):
    with pytest.raises(DataError, match=message):
        convert(tmp_path, IN_LIDAR, image, coordinates=Coordinates(clouds_in), lidar=lidar, **frame)
