"""From the calibration that a user has to ``lidar2img``.

Frames of coordinates: *lidar*, *ego* (the vehicle), *global* (a map, such as UTM). ``a2b`` takes a point from
frame a to frame b, so ``cam2ego`` is the camera's pose in the vehicle, ``lidar2cam`` the inverse of the camera's
pose in the LiDAR's frame.
"""
from typing import NamedTuple

import numpy as np

from ...errors import DataError
from ...geometry import MAX_CAMERA_DISTANCE, camera_centre, normalize_depth
from .common import ROTATION_TOLERANCE, invertible_4x4

UNITS = dict(m=1.0, cm=0.01, mm=0.001)
CLOUD_FRAMES = ('lidar', 'ego', 'global')
MAX_DISAGREEMENT = 0.01  # of the largest entry, between lidar2img and what it is composed of


class Coordinates(NamedTuple):
    """How the clouds and the calibration are given.

    Attributes:
        clouds_in: Frame of the clouds: 'lidar'; 'ego', so that no ``lidar2ego`` is needed; or 'global', as clouds
            of a map are.
        cloud_unit: Unit of the clouds, 'm', 'cm' or 'mm'.
        calibration_unit: Unit of the translations of all matrices but ``ego2global``, which is in metres.
    """
    clouds_in: str = 'lidar'
    cloud_unit: str = 'm'
    calibration_unit: str = 'm'

    def check(self) -> None:
        """Raise a DataError if an option has none of its values."""
        known = dict(clouds_in=CLOUD_FRAMES, cloud_unit=UNITS, calibration_unit=UNITS)
        for option, value in self._asdict().items():
            if value not in known[option]:
                raise DataError(f'{option}: expected {" or ".join(known[option])}, found {value!r}')


def frame_matrices(frame: dict, coordinates: Coordinates, name: str) -> tuple[dict, np.ndarray | None]:
    """The matrices of a frame's cameras, and where its cloud is moved to.

    Args:
        frame: As docs/data_format.md describes it.
        coordinates: How clouds and calibration are given.
        name: Of the frame, for messages.

    Returns:
        By camera ``dict(lidar2img)``, with ``cam2img`` and ``lidar2cam`` where the frame tells them, (4, 4) in metres;
        and the (4, 4) matrix that takes the points of a global cloud (in metres) to those that the former are for, or
        None if the cloud stays as it is.

    Raises:
        DataError: A matrix is missing, malformed or implausible.
    """
    matrices = {camera: _camera_matrices(frame, image, coordinates, f'{name}, camera {camera}')
                for camera, image in frame['images'].items()}
    move = _recentring(frame, matrices, name) if coordinates.clouds_in == 'global' else None
    if move is not None:
        back = np.linalg.inv(move)
        matrices = {camera: {key: matrix if key == 'cam2img' else matrix @ back for key, matrix in of_camera.items()}
                    for camera, of_camera in matrices.items()}
    for camera, of_camera in matrices.items():
        _check_distance(of_camera['lidar2img'], coordinates, f'{name}, camera {camera}')
    return matrices, move


def _camera_matrices(frame: dict, image: dict, coordinates: Coordinates, name: str) -> dict:
    unit = UNITS[coordinates.calibration_unit]
    matrices = {}
    if 'cam2img' in image:
        matrices['cam2img'] = _projection(image['cam2img'], 'cam2img', unit, name)
    if 'cam2ego' in image:
        if 'lidar2cam' in image:
            raise DataError(f'{name}: found both lidar2cam and cam2ego; leave one of them out')
        matrices['lidar2cam'] = _composed(frame, image, coordinates, name)
    elif 'lidar2cam' in image:
        matrices['lidar2cam'] = _rigid(image['lidar2cam'], 'lidar2cam', unit, name)
    if 'lidar2img' in image:
        matrices['lidar2img'] = _projection(image['lidar2img'], 'lidar2img', unit, name)
        _check_agreement(name, **matrices)
    elif len(matrices) == 2:
        matrices['lidar2img'] = matrices['cam2img'] @ matrices['lidar2cam']
    else:
        raise DataError(f'{name}: expected lidar2img, or cam2img and one of lidar2cam and cam2ego; found '
                        f'{", ".join(image)}')
    return matrices


def _check_agreement(name: str, lidar2img: np.ndarray, cam2img: np.ndarray | None = None,
                     lidar2cam: np.ndarray | None = None) -> None:
    """Raise a DataError if a frame tells its projection twice, and differently by more than rounding."""
    if cam2img is None or lidar2cam is None:
        return
    composed = cam2img @ lidar2cam
    if np.abs(lidar2img - composed).max() > MAX_DISAGREEMENT * np.abs(composed).max():
        raise DataError(f'{name}: lidar2img is not cam2img @ lidar2cam, so one of the three is wrong; leave out '
                        'lidar2img, or the other two')


def _composed(frame: dict, image: dict, coordinates: Coordinates, name: str) -> np.ndarray:
    """``lidar2cam`` from poses, with the vehicle's motion between cloud and image."""
    unit, lidar = UNITS[coordinates.calibration_unit], frame['lidar_points']
    cam2ego = _rigid(image['cam2ego'], 'cam2ego', unit, name)
    poses = {whose: _rigid(part['ego2global'], f'{whose} ego2global', 1.0, name)
             for whose, part in (('cloud', frame), ('image', image)) if 'ego2global' in part}
    if coordinates.clouds_in == 'global':
        if 'image' not in poses:
            raise DataError(f'{name}: for clouds in the global frame cam2ego needs ego2global of the image, the pose '
                            'of the vehicle when it was taken')
        return np.linalg.inv(poses['image'] @ cam2ego)
    if len(poses) == 1:
        have, lack = ('cloud', 'image') if 'cloud' in poses else ('image', 'cloud')
        raise DataError(f'{name}: found ego2global of the {have}, but none of the {lack}; the vehicle moves between '
                        'them, so give both (that of the cloud beside lidar_points) or none')
    motion = np.linalg.inv(poses['image']) @ poses['cloud'] if poses else np.eye(4)
    return np.linalg.inv(cam2ego) @ motion @ _lidar2ego(lidar, coordinates, name)


def _lidar2ego(lidar: dict, coordinates: Coordinates, name: str) -> np.ndarray:
    if coordinates.clouds_in == 'ego':
        if 'lidar2ego' in lidar:
            raise DataError(f'{name}: found lidar2ego, but --clouds-in ego says that the clouds are in the ego frame '
                            'already; leave one of them out')
        return np.eye(4)
    if 'lidar2ego' not in lidar:
        raise DataError(f'{name}: cam2ego needs lidar_points.lidar2ego, the pose of the LiDAR in the vehicle\'s frame; '
                        'if the clouds are in that frame already, use --clouds-in ego')
    return _rigid(lidar['lidar2ego'], 'lidar2ego', UNITS[coordinates.calibration_unit], name)


def _recentring(frame: dict, matrices: dict, name: str) -> np.ndarray:
    """Global frame to that of the vehicle, or where its pose is not given to the middle of the cameras."""
    if 'ego2global' in frame:
        return np.linalg.inv(_rigid(frame['ego2global'], 'cloud ego2global', 1.0, name))
    move = np.eye(4)
    move[:3, 3] = -np.mean([camera_centre(of_camera['lidar2img']) for of_camera in matrices.values()], axis=0)
    return move


def _check_distance(lidar2img: np.ndarray, coordinates: Coordinates, name: str) -> None:
    distance = np.linalg.norm(camera_centre(lidar2img))
    if distance > MAX_CAMERA_DISTANCE:
        unit = ('; if it is in millimetres, use --calibration-unit mm' if coordinates.calibration_unit == 'm' else '')
        raise DataError(
            f'{name}: the camera is {distance:.6g} m from the origin of the cloud, which is too far from the origin. '
            'If clouds and calibration are in map coordinates (UTM, for instance), recentre them: --clouds-in global '
            f'moves each cloud to the vehicle and writes it anew. Else the calibration is wrong{unit}')


def _matrix(value: list, key: str, unit: float, name: str) -> np.ndarray:
    """4x4 in metres."""
    matrix = invertible_4x4(value, key, name)
    if not np.allclose(matrix[3, :3], 0, atol=1e-9) or matrix[3, 3] == 0:
        raise DataError(f'{name}: the last row of {key} is {matrix[3].tolist()}, expected 0 0 0 1; it may be '
                        'transposed')
    matrix[:3, 3] *= unit
    return matrix


def _rigid(value: list, key: str, unit: float, name: str) -> np.ndarray:
    """A rotation and a translation, 4x4 in metres."""
    matrix = _matrix(value, key, unit, name)
    rotation = matrix[:3, :3]
    error = np.abs(rotation.T @ rotation - np.eye(3)).max()
    if error > ROTATION_TOLERANCE or np.linalg.det(rotation) < 0 or matrix[3, 3] != 1:
        raise DataError(f'{name}: the upper left 3x3 of {key} is no rotation (its columns are not of length 1 and at '
                        f'right angles, error {error:.2g}, or it mirrors):\n{matrix}\nexpected a rotation and a '
                        'translation. A left-handed frame (CARLA, Unreal) has to become a right-handed one first')
    return matrix


def _projection(value: list, key: str, unit: float, name: str) -> np.ndarray:
    """``cam2img`` or ``lidar2img``, 4x4 in metres, of the scale that gives depth in metres."""
    matrix = _matrix(value, key, unit, name)
    factor = np.linalg.norm(matrix[2, :3])
    if np.linalg.det(matrix[:3, :3]) < 0:
        raise DataError(
            f'{name}: {key} has a negative determinant, and the first three entries of its third row have length '
            f'{factor:.6g} (1 expected). If it is known up to a factor, multiply its first three rows by '
            f'{-1 / factor:.6g}; otherwise an axis is mirrored, as in left-handed frames (CARLA, Unreal): '
            'negate y in the clouds, and the second column of the matrix')
    if key == 'cam2img' and not np.allclose(matrix[2, :2], 0, atol=1e-6 * factor):
        raise DataError(f'{name}: the third row of cam2img is {matrix[2, :3].tolist()}, expected 0 0 1; it may be '
                        'transposed')
    return normalize_depth(matrix)


