"""A conversion that goes on where another was stopped never mixes old inputs with new ones."""
import os
from functools import partial

import cv2
import mmengine
import numpy as np
import pytest

from simipu.datasets.converters import common, create_kitti_infos, create_waymo_infos, kitti, waymo, write_infos

NAMES = [f'{number:06}' for number in range(4)]
CALIBRATION = """P2: {focal} 0 20 4 0 40 10 0 0 0 1 0.005
R0_rect: 1 0 0 0 1 0 0 0 1
Tr_velo_to_cam: 0 -1 0 0 0 0 -1 -0.1 1 0 0 -0.3
"""
WAYMO_CALIBRATION = CALIBRATION.replace('P2', 'P0').replace('cam:', 'cam_0:')


class Killed(BaseException):
    """As by a signal: nothing catches it."""


def write_frames(root, images: str, width: int) -> None:
    for folder in ('velodyne', 'calib', images):
        (root / folder).mkdir(parents=True)
    for number, name in enumerate(NAMES):
        points = np.random.default_rng(number).uniform(1, 50, (20, width)).astype(np.float32)
        points.tofile(root / f'velodyne/{name}.bin')
        cv2.imwrite(str(root / images / f'{name}.png'), np.full((20, 40, 3), number, np.uint8))


def write_calibration(root, text: str, focal: int) -> None:
    """Of the same size and age, whatever the focal length: as from an archive that is unpacked again."""
    for name in NAMES:
        path = root / f'calib/{name}.txt'
        path.write_text(text.format(focal=focal))
        os.utime(path, (1e9, 1e9))


@pytest.fixture
def kitti_frames(tmp_path):
    write_frames(tmp_path / 'training', 'image_2', 4)
    write_calibration(tmp_path / 'training', CALIBRATION, 40)
    (tmp_path / 'ImageSets').mkdir()
    (tmp_path / 'ImageSets/train.txt').write_text('\n'.join(NAMES))
    return tmp_path


@pytest.fixture
def stopped_after_two(monkeypatch):
    """Makes a converter module die after two frames, once, and counts the frames it converts."""
    monkeypatch.setattr(common, 'FRAMES_PER_CHUNK', 1)
    converted = []

    def stop(module):
        whole = module.check_point_file

        def check(path, *arguments):
            converted.append(os.path.basename(path))
            if len(converted) == 3:
                raise Killed
            whole(path, *arguments)

        monkeypatch.setattr(module, 'check_point_file', check)
        return converted
    return stop


def focal_lengths(split) -> list:
    return [image['cam2img'][0][0] for frame in mmengine.load(split.info_file)['data_list']
            for image in frame['images'].values()]


def test_nothing_changed(kitti_frames, stopped_after_two):
    converted = stopped_after_two(kitti)
    convert = partial(create_kitti_infos, kitti_frames, kitti_frames, num_workers=1)
    with pytest.raises(Killed):
        convert()
    assert convert()[0].num_frames == 4
    assert converted == ['000000.bin', '000001.bin', '000002.bin', '000002.bin', '000003.bin']


def test_corrected_calibration_is_not_mixed(kitti_frames, stopped_after_two):
    stopped_after_two(kitti)
    convert = partial(create_kitti_infos, kitti_frames, kitti_frames, num_workers=1)
    with pytest.raises(Killed):
        convert()
    write_calibration(kitti_frames / 'training', CALIBRATION, 50)
    assert focal_lengths(convert()[0]) == [50] * 4


def test_corrected_calibration_of_waymo_is_not_mixed(tmp_path, stopped_after_two):
    stopped_after_two(waymo)
    root = tmp_path / 'kitti_format/training'
    write_frames(root, 'image_0', 6)
    write_calibration(root, WAYMO_CALIBRATION, 40)
    convert = partial(create_waymo_infos, root.parent, tmp_path, ['CAM_FRONT'], num_workers=1)
    with pytest.raises(Killed):
        convert()
    write_calibration(root, WAYMO_CALIBRATION, 50)
    assert focal_lengths(convert()[0]) == [50] * 4


def test_replaced_image_and_cloud_are_looked_at_again(kitti_frames, stopped_after_two):
    converted = stopped_after_two(kitti)
    convert = partial(create_kitti_infos, kitti_frames, kitti_frames, num_workers=1)
    with pytest.raises(Killed):
        convert()
    image = kitti_frames / 'training/image_2/000001.png'
    cv2.imwrite(str(image), np.zeros((22, 42, 3), np.uint8))
    os.utime(kitti_frames / 'training/velodyne/000000.bin', (1e9, 1e9))
    split, = convert()
    sizes = [frame['images']['CAM2']['height'] for frame in mmengine.load(split.info_file)['data_list']]
    assert sizes == [20, 22, 20, 20] and converted[3:] == [f'{name}.bin' for name in NAMES]


def test_own_frames_with_a_replaced_image(kitti_frames, monkeypatch):
    monkeypatch.setattr(common, 'FRAMES_PER_CHUNK', 1)
    frames = [dict(lidar_points=dict(lidar_path=f'velodyne/{name}.bin', num_pts_feats=4),
                   images=dict(left=dict(img_path=f'image_2/{name}.png', lidar2img=np.eye(4).tolist())))
              for name in NAMES]
    convert = partial(write_infos, frames, kitti_frames / 'infos.pkl', kitti_frames / 'training', num_workers=1)
    write = common.write_whole
    monkeypatch.setattr(common, 'write_whole', lambda *arguments: (_ for _ in ()).throw(Killed))
    with pytest.raises(Killed):
        convert()
    monkeypatch.setattr(common, 'write_whole', write)
    cv2.imwrite(str(kitti_frames / 'training/image_2/000001.png'), np.zeros((22, 42, 3), np.uint8))
    sizes = [frame['images']['left']['height'] for frame in mmengine.load(convert().info_file)['data_list']]
    assert sizes == [20, 22, 20, 20]
