"""Images that were resized while their calibration was kept are refused, with the factor; others are not."""
import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from simipu.datasets.converters import create_kitti_infos, create_kitti_raw_infos, write_infos
from simipu.datasets.converters.image_sizes import KITTI_SIZES, Size, check_against_intrinsics, check_recorded_size
from simipu.errors import DataError


def intrinsics(focal: float, centre_x: float, centre_y: float) -> np.ndarray:
    return np.array([[focal, 0, centre_x, 0], [0, focal, centre_y, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])


def check(width: int, height: int, cam2img: np.ndarray) -> None:
    check_against_intrinsics(dict(width=width, height=height), cam2img, 'image.png', 'P2 in calib.txt')


KITTI = intrinsics(721.5377, 609.5593, 172.854)
OTHER = intrinsics(2152.8, 971.3, 605.9)  # of images of 1920 x 1200


@pytest.mark.parametrize('width, height, cam2img, factor', [
    (621, 188, KITTI, 'a factor of 0.501'), (2484, 750, KITTI, 'a factor of 2'), (640, 192, KITTI, 'a factor of 0.514'),
    (1024, 320, KITTI, 'factors of 0.824 in x and 0.853 in y'), (1280, 384, KITTI, 'a factor of 1.03'),
    (512, 256, KITTI, 'factors of 0.412 in x and 0.683 in y'), (993, 300, KITTI, 'a factor of 0.8'),
    (960, 600, OTHER, 'a factor of about 0.49'), (640, 400, OTHER, 'a factor of about 0.33'),
    (3840, 2400, OTHER, 'a factor of about 1.98'),
])
def test_resized(width, height, cam2img, factor):
    with pytest.raises(DataError, match=f'image.png: the image has another size than the calibration, by {factor}: '
                       f'it is {width} x {height} pixels') as error:
        check(width, height, cam2img)
    check(width, height, as_told(str(error.value), (1920, 1200)) @ cam2img)  # what it says to do leads out


def as_told(message: str, original: tuple) -> np.ndarray:
    """(4, 4), of the factors by which the message says to multiply the first two rows."""
    x, y = re.search(r'first row of the projection matrix by (\S+).* and the second by (\S+)', message).groups()
    if 'original width' in message:
        return np.diag([float(x) / original[0], float(y) / original[1], 1, 1])
    return np.diag([float(x), float(y), 1, 1])


@pytest.mark.parametrize('width, height, cam2img', [
    (1242, 375, KITTI), (1216, 352, KITTI), (1248, 384, KITTI), (1242, 352, KITTI), (1200, 375, KITTI),
    (1920, 1200, OTHER), (1920, 1080, OTHER), (1600, 1200, OTHER), (1920, 700, OTHER), (1000, 1200, OTHER),
    # Cameras of nuScenes (front and back) and Waymo (side, cut at the top).
    (1600, 900, intrinsics(1266.4, 816.3, 491.5)), (1600, 900, intrinsics(809.2, 829.2, 481.8)),
    (1920, 886, intrinsics(2053.1, 968.5, 243.8)), (1920, 400, intrinsics(2053.1, 968.5, -180.0)),
    *((*size, intrinsics(*known)) for known, size in KITTI_SIZES.items()),
])
def test_images_as_calibrated_or_cut(width, height, cam2img):
    check(width, height, cam2img)


@pytest.mark.parametrize('width, height, factor', [
    (621, 188, 'a factor of 0.501'), (1216, 352, 'factors of 0.979 in x and 0.939 in y'), (1241, 376, 'a factor of 1'),
    (2484, 750, 'a factor of 2')])
def test_recorded_size(width, height, factor):
    with pytest.raises(DataError, match=f'by {factor}.*S_rect_02 in f says 1242 x 375.*and that size to match'):
        check_recorded_size(dict(width=width, height=height), Size(1242, 375), 'image.png', 'S_rect_02 in f')
    check_recorded_size(dict(width=1242, height=375), Size(1242, 375), 'image.png', 'S_rect_02 in f')


def halve_images(folder: Path) -> None:
    for path in folder.glob('*.png'):
        image = cv2.imread(str(path))
        cv2.imwrite(str(path), cv2.resize(image, None, fx=0.5, fy=0.5))


def test_halved_object_frames_and_the_remedy(tiny_kitti, tmp_path):
    halve_images(tiny_kitti / 'training/image_2')
    with pytest.raises(DataError, match='000000.png: .* by a factor of about 0.48: .* P2 in .* is .20, 10.') as error:
        create_kitti_infos(tiny_kitti, tmp_path)
    factors = as_told(str(error.value), (40, 20))[:3, :3]
    for path in (tiny_kitti / 'training/calib').iterdir():
        name, *numbers = path.read_text().splitlines()[0].split()
        scaled = factors @ np.array(numbers, float).reshape(3, 4)
        path.write_text('\n'.join([f'{name} {" ".join(map(str, scaled.ravel()))}', *path.read_text().splitlines()[1:]]))
    assert create_kitti_infos(tiny_kitti, tmp_path)[0].num_frames == 2


def test_halved_raw_frame(real_data, tmp_path):
    """With the published calibration of 2011_09_26 and a black image."""
    date = tmp_path / 'raw/2011_09_26'
    drive = date / '2011_09_26_drive_0001_sync'
    for folder in ('image_02/data', 'velodyne_points/data'):
        (drive / folder).mkdir(parents=True)
    for name in ('calib_cam_to_cam.txt', 'calib_velo_to_cam.txt'):
        (date / name).write_bytes((real_data / 'packed/kitti_raw/2011_09_26' / name).read_bytes())
    points = np.random.default_rng(0).uniform(1, 50, (20, 4)).astype(np.float32)
    points.tofile(drive / 'velodyne_points/data/0000000000.bin')
    cv2.imwrite(str(drive / 'image_02/data/0000000000.png'), np.zeros((375, 1242), np.uint8))
    assert create_kitti_raw_infos(tmp_path / 'raw', tmp_path)[0].num_frames == 1
    halve_images(drive / 'image_02/data')
    with pytest.raises(DataError, match='0000000000.png: .*621 x 188 pixels, but S_rect_02 in .* says 1242 x 375'):
        create_kitti_raw_infos(tmp_path / 'raw', tmp_path)


def test_halved_images_of_own_data(real_data, tmp_path):
    """Frames of OpenCalib's camera, which is no camera of KITTI's."""
    source = real_data / 'packed/opencalib'
    frames = [json.loads(line) for line in (source / 'frames.jsonl').read_text().splitlines()]
    points = np.random.default_rng(0).uniform(1, 50, (20, 4)).astype(np.float32)
    for frame in frames:
        for path in (frame['lidar_points']['lidar_path'], frame['images']['center']['img_path']):
            (tmp_path / path).parent.mkdir(exist_ok=True)
        points.tofile(tmp_path / frame['lidar_points']['lidar_path'])
        image = frame['images']['center']['img_path']
        (tmp_path / image).write_bytes((source / image).read_bytes())
    assert write_infos(frames, tmp_path / 'infos.pkl', tmp_path, num_workers=1).num_frames == len(frames)
    image = tmp_path / frames[2]['images']['center']['img_path']
    cv2.imwrite(str(image), cv2.resize(cv2.imread(str(image)), None, fx=0.5, fy=0.5))
    with pytest.raises(DataError, match=f'{image}: .* about 0.49: .*960 x 600.* frame 2, camera center: cam2img is'):
        write_infos(frames, tmp_path / 'infos.pkl', tmp_path, num_workers=1)


@pytest.mark.parametrize('unit', [np.diag([1 / 1224, 1 / 370, 1, 1]), np.diag([1 / 150, 1 / 150, 1, 1]),
                                  np.diag([1e-3, 1e-3, 1, 1])], ids=['shares of the image', 'millimetres', 'metres'])
def test_intrinsics_that_are_not_in_pixels(unit):
    with pytest.raises(DataError, match='1224 x 370 pixels, but the focal lengths'):
        check(1224, 370, unit @ intrinsics(700, 600, 180))
