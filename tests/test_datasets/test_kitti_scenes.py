"""KITTI raw and odometry converters against the documented chain of matrices, and broken folders."""
import shutil
from pathlib import Path

import cv2
import mmengine
import numpy as np
import pytest

from simipu.datasets import PairedDataset
from simipu.datasets.converters import (
    Subset,
    create_kitti_infos,
    create_kitti_odometry_infos,
    create_kitti_raw_infos,
)
from simipu.errors import DataError

# From KITTI's raw data of 2011_09_26, as published with it.
CAM_TO_CAM = """calib_time: 09-Jan-2012 13:57:47
corner_dist: 9.950000e-02
S_02: 1.392000e+03 5.120000e+02
S_rect_02: 1.242000e+03 3.750000e+02
S_rect_03: 1.242000e+03 3.750000e+02
R_rect_00: 9.999239e-01 9.837760e-03 -7.445048e-03 -9.869795e-03 9.999421e-01 -4.278459e-03 \
7.402527e-03 4.351614e-03 9.999631e-01
R_rect_02: 9.998817e-01 1.511453e-02 -2.841595e-03 -1.511724e-02 9.998853e-01 -9.338510e-04 \
2.827154e-03 9.766976e-04 9.999955e-01
P_rect_00: 7.215377e+02 0 6.095593e+02 0 0 7.215377e+02 1.728540e+02 0 0 0 1 0
P_rect_02: 7.215377e+02 0.000000e+00 6.095593e+02 4.485728e+01 0.000000e+00 7.215377e+02 \
1.728540e+02 2.163791e-01 0.000000e+00 0.000000e+00 1.000000e+00 2.745884e-03
P_rect_03: 7.215377e+02 0.000000e+00 6.095593e+02 -3.395242e+02 0.000000e+00 7.215377e+02 \
1.728540e+02 2.199936e+00 0.000000e+00 0.000000e+00 1.000000e+00 2.729905e-03
"""
VELO_TO_CAM = """calib_time: 15-Mar-2012 11:37:16
R: 7.533745e-03 -9.999714e-01 -6.166020e-04 1.480249e-02 7.280733e-04 -9.998902e-01 \
9.998621e-01 7.523790e-03 1.480755e-02
T: -4.069766e-03 -7.631618e-02 -2.717806e-01
delta_f: 0.000000e+00 0.000000e+00
"""
ODOMETRY = """P0: 718.856 0 607.1928 0 0 718.856 185.2157 0 0 0 1 0
P2: 718.856 0 607.1928 45.38225 0 718.856 185.2157 -0.1130887 0 0 1 0.003779761
P3: 718.856 0 607.1928 -337.2877 0 718.856 185.2157 2.369057 0 0 1 0.004915215
Tr: 0.0004276802 -0.9999672 -0.008084491 -0.01198459 -0.007210626 0.008081198 -0.9999413 \
-0.05403984 0.9999738 0.0004859485 -0.007206933 -0.2921968
"""
SIZE = (1242, 375)
ODOMETRY_SIZE = (1241, 376)
DRIVES = ('2011_09_26/2011_09_26_drive_0001_sync', '2011_09_26/2011_09_26_drive_0002_sync',
          '2011_09_28/2011_09_28_drive_0001_sync')


def write_frames(folder: Path, clouds: str, images: tuple, names: list, size: tuple) -> None:
    rng = np.random.default_rng(0)
    for path in (clouds, *images):
        (folder / path).mkdir(parents=True)
    for name in names:
        points = rng.uniform([5, -5, -1, 0], [40, 5, 1, 1], (50, 4)).astype(np.float32)
        points.tofile(folder / clouds / f'{name}.bin')
        for path in images:
            cv2.imwrite(str(folder / path / f'{name}.png'), np.zeros((size[1], size[0], 3), np.uint8))


@pytest.fixture
def raw(tmp_path) -> Path:
    """Three drives of five frames, on two dates."""
    root = tmp_path / 'raw'
    for number, drive in enumerate(DRIVES):
        write_frames(root / drive, 'velodyne_points/data', ('image_02/data', 'image_03/data'),
                     [f'{frame:010d}' for frame in range(5)], SIZE)
        times = ''.join(f'2011-09-26 13:0{number}:0{frame}.951199337\n' for frame in range(5))
        (root / drive / 'velodyne_points/timestamps.txt').write_text(times)
    for date in ('2011_09_26', '2011_09_28'):
        (root / date / 'calib_cam_to_cam.txt').write_text(CAM_TO_CAM)
        (root / date / 'calib_velo_to_cam.txt').write_text(VELO_TO_CAM)
    return root


@pytest.fixture
def odometry(tmp_path) -> Path:
    root = tmp_path / 'odometry'
    for sequence in ('00', '01'):
        folder = root / 'sequences' / sequence
        write_frames(folder, 'velodyne', ('image_2', 'image_3'), ['000000', '000001'], ODOMETRY_SIZE)
        (folder / 'calib.txt').write_text(ODOMETRY)
        (folder / 'times.txt').write_text('0.000000e+00\n1.037359e-01\n')
    return root


def frames_of(split) -> list:
    return mmengine.load(split.info_file)['data_list']


def numbers(text: str, key: str) -> np.ndarray:
    line, = (line for line in text.splitlines() if line.startswith(key + ': '))
    return np.array(line.split()[1:], float)


def pixels(points: np.ndarray, *chain) -> np.ndarray:
    """(u, v, depth) by the chain of matrices as KITTI documents it: each in turn, none composed."""
    homogeneous = np.insert(points, 3, 1, axis=1).T
    for matrix in reversed(chain):
        homogeneous = matrix @ homogeneous
    return np.c_[(homogeneous[:2] / homogeneous[2]).T, homogeneous[2]]


POINTS = np.random.default_rng(1).uniform([4, -20, -2], [70, 20, 4], (1000, 3))


@pytest.mark.parametrize('camera', ['2', '3'])
def test_raw_projection_is_the_documented_chain(camera, raw, tmp_path):
    rectify, velo_to_cam = np.eye(4), np.eye(4)
    rectify[:3, :3] = numbers(CAM_TO_CAM, 'R_rect_00').reshape(3, 3)
    velo_to_cam[:3, :3] = numbers(VELO_TO_CAM, 'R').reshape(3, 3)
    velo_to_cam[:3, 3] = numbers(VELO_TO_CAM, 'T')
    project = numbers(CAM_TO_CAM, f'P_rect_0{camera}').reshape(3, 4)
    expected = pixels(POINTS, project, rectify, velo_to_cam)
    frame = frames_of(create_kitti_raw_infos(raw, tmp_path)[0])[0]
    found = pixels(POINTS, np.array(frame['images'][f'CAM{camera}']['lidar2img']))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    # A point straight ahead is near the image's middle, and the right camera sees it further left.
    ahead = pixels(np.array([[20.0, 0, 0]]), project, rectify, velo_to_cam)[0]
    assert abs(ahead[0] - 609) < 40 and abs(ahead[1] - 173) < 40


def test_raw_calibration_is_near_that_of_a_real_object_frame(real_data, raw, tmp_path):
    """KITTI's object frames come from the raw data: another file, another date, the same rig."""
    ours = frames_of(create_kitti_raw_infos(raw, tmp_path / 'raw_infos')[0])[0]['images']['CAM2']
    object_set = frames_of(create_kitti_infos(real_data / 'kitti', tmp_path / 'infos')[0])
    distances = [np.abs(pixels(POINTS, np.array(ours['lidar2img']))
                        - pixels(POINTS, np.array(frame['images']['CAM2']['lidar2img'])))
                 for frame in object_set]
    assert min(np.median(distance[:, :2]) for distance in distances) < 15


def test_odometry_projection_is_the_documented_chain(odometry, tmp_path):
    train, val = create_kitti_odometry_infos(odometry, tmp_path)
    assert (train.num_frames, val.num_frames) == (2, 2)
    frame = frames_of(train)[1]
    assert frame['sequence'] == '01' and frame['timestamp'] == 0.1037359
    assert frame['lidar_points']['lidar_path'] == 'sequences/01/velodyne/000001.bin'
    for camera in '23':
        image = frame['images'][f'CAM{camera}']
        assert image['img_path'] == f'sequences/01/image_{camera}/000001.png'
        expected = pixels(POINTS, numbers(ODOMETRY, f'P{camera}').reshape(3, 4),
                          np.r_[numbers(ODOMETRY, 'Tr'), 0, 0, 0, 1].reshape(4, 4))
        np.testing.assert_allclose(pixels(POINTS, np.array(image['lidar2img'])), expected,
                                   atol=1e-6)


def test_raw_frames_become_a_batch_of_two_cameras(raw, tmp_path):
    train, val = create_kitti_raw_infos(raw, tmp_path, val_scenes=0.3)
    assert {frame['sequence'] for frame in frames_of(val)} == {'2011_09_26_drive_0001_sync'}
    assert train.num_frames == 10 and train.left_out == ()
    first = frames_of(train)[0]
    # 13:01:00.951199 as UTC; KITTI does not tell a zone.
    assert first['timestamp'] == pytest.approx(1317042060.951199, abs=1e-6)
    dataset = PairedDataset(str(train.info_file), data_root=str(raw), pipeline=[
        dict(type='LoadPairedPoints'), dict(type='LoadPairedImages'),
        dict(type='PackPairedInputs')])
    assert [image.shape for image in dataset[9]['inputs']['img']] == [(3, SIZE[1], SIZE[0])] * 2
    assert dataset[9]['data_samples'].cam_names == ['CAM2', 'CAM3']


def test_scenes_for_validation_by_name(raw, odometry, tmp_path):
    _, val = create_kitti_raw_infos(raw, tmp_path, val_scenes=['2011_09_26_drive_0002_sync'])
    assert {frame['sequence'] for frame in frames_of(val)} == {'2011_09_26_drive_0002_sync'}
    train, val = create_kitti_odometry_infos(odometry, tmp_path, val_scenes=['01'])
    assert [{frame['sequence'] for frame in frames_of(split)} for split in (train, val)] == [{'00'}, {'01'}]
    with pytest.raises(DataError, match='no scene 2011_09_26_drive_0002; expected names such as .*0002_sync'):
        create_kitti_raw_infos(raw, tmp_path, val_scenes=['2011_09_26_drive_0002'])


def test_incomplete_frames_are_reported(raw, tmp_path):
    (raw / DRIVES[1] / 'velodyne_points/data/0000000002.bin').unlink()
    train, = create_kitti_raw_infos(raw, tmp_path, val_scenes=0)
    assert train.num_frames == 14 and train.left_out == (
        '2011_09_26_drive_0002_sync: 1 of 5 frames lack a cloud or an image, frame 2 the first', )
    assert frames_of(train)[7]['timestamp'] - frames_of(train)[6]['timestamp'] == 2


def test_part_of_the_data(raw, tmp_path):
    train, = create_kitti_raw_infos(raw, tmp_path, ['CAM3'], val_scenes=0,
                                    subset=Subset(every=2, scenes=0.5))
    names = [frame['sample_idx'] for frame in frames_of(train)]
    assert names == [f'2011_09_2{date}_drive_000{drive}_sync/000000000{frame}'
                     for date, drive in ((6, 1), (6, 2)) for frame in (0, 2, 4)]
    assert list(frames_of(train)[0]['images']) == ['CAM3']


@pytest.mark.parametrize('subset, frames, scenes', [
    (Subset(), 10, 10), (Subset(every=5), 2, 10), (Subset(scenes=0.1), 10, 1),
    (Subset(scenes=0.25), 10, 3), (Subset(every=4, scenes=0.5), 3, 5)])
def test_subset(subset, frames, scenes):
    assert len(subset.of_frames(range(10))) == frames
    taken = subset.of_scenes(range(10))
    assert len(taken) == len(set(taken)) == scenes and taken[0] == 0


@pytest.mark.parametrize('arguments', [dict(every=0), dict(scenes=0), dict(scenes=1.5)])
def test_bad_subset(arguments):
    with pytest.raises(DataError, match='expected --every >= 1 and 0 < --scenes <= 1'):
        Subset(**arguments)


@pytest.mark.parametrize('break_it, message', [
    (lambda root: shutil.rmtree(root), 'raw is not a folder; expected KITTI raw data'),
    (lambda root: [shutil.rmtree(root / drive) for drive in DRIVES], 'no drives; expected folders'),
    (lambda root: (root / '2011_09_26/calib_velo_to_cam.txt').unlink(),
     'no file .*calib_velo_to_cam.txt'),
    (lambda root: (root / '2011_09_26/calib_cam_to_cam.txt').write_text('R_rect_00: 1 2'),
     'calib_cam_to_cam.txt: no P_rect_02'),
    (lambda root: (root / '2011_09_26/calib_velo_to_cam.txt').write_text('R: 1 2\nT: 0 0 0'),
     'calib_velo_to_cam.txt: R has 2 numbers, expected 9'),
    (lambda root: (root / DRIVES[0] / 'velodyne_points/timestamps.txt').write_text('now'),
     'timestamps.txt: expected lines such as .* found "now"'),
    (lambda root: (root / DRIVES[0] / 'velodyne_points/timestamps.txt').write_text(''),
     'expected a time stamp in line 1, as there is a frame 0000000000, found an empty one'),
])
def test_broken_raw_folders(break_it, message, raw, tmp_path):
    break_it(raw)
    with pytest.raises(DataError, match=message):
        create_kitti_raw_infos(raw, tmp_path / 'infos', val_scenes=0)
    assert not list(tmp_path.glob('infos/*'))


def test_broken_odometry_and_bad_arguments(odometry, tmp_path):
    with pytest.raises(DataError, match='unknown cameras CAM0; expected CAM2 or CAM3'):
        create_kitti_odometry_infos(odometry, tmp_path, ['CAM0'])
    with pytest.raises(DataError, match='0 <= --val-scenes < 1, got 1'):
        create_kitti_odometry_infos(odometry, tmp_path, val_scenes=1)
    (odometry / 'sequences/01/calib.txt').write_text(ODOMETRY.replace('Tr:', 'Tx:'))
    with pytest.raises(DataError, match='calib.txt: no Tr; expected a line'):
        create_kitti_odometry_infos(odometry, tmp_path)


def test_time_stamps_go_by_line_where_clouds_are_missing(raw, tmp_path):
    """As in drive 0009 of 2011_09_26 as published: empty lines where there is no cloud."""
    drive = raw / DRIVES[0] / 'velodyne_points'
    for number in (1, 2):
        (drive / f'data/000000000{number}.bin').unlink()
    lines = (drive / 'timestamps.txt').read_text().splitlines()
    (drive / 'timestamps.txt').write_bytes('\r\n'.join([lines[0], '', '', *lines[3:], '']).encode('utf-8-sig'))
    train, = create_kitti_raw_infos(raw, tmp_path, val_scenes=0)
    seconds = [frame['timestamp'] - 1317042000.951199 for frame in frames_of(train)[:3]]
    assert seconds == pytest.approx([0, 3, 4], abs=1e-5)
    assert train.left_out == ('2011_09_26_drive_0001_sync: 2 of 5 frames lack a cloud or an image, frame 1 the first', )

    (drive / 'timestamps.txt').write_text('\n'.join([lines[0], *lines[3:]]))  # somebody removed the empty lines
    with pytest.raises(DataError, match='line 4, as there is a frame 0000000003, found only 3 lines.*empty lines'):
        create_kitti_raw_infos(raw, tmp_path, val_scenes=0)


def test_published_drive_with_gaps(real_data, tmp_path):
    """Drive 0009 has 443 clouds of 447; their time stamps are those that the images of the same number have."""
    source = real_data / 'packed/kitti_raw/2011_09_26/2011_09_26_drive_0009_sync'
    root, name = tmp_path / 'raw', '2011_09_26_drive_0009_sync'
    numbers = ['0000000176', '0000000181', '0000000446']
    write_frames(root / '2011_09_26' / name, 'velodyne_points/data', ('image_02/data', ), numbers, SIZE)
    shutil.copy(source / 'velodyne_points/timestamps.txt', root / '2011_09_26' / name / 'velodyne_points')
    for file in ('calib_cam_to_cam.txt', 'calib_velo_to_cam.txt'):
        shutil.copy(source.parent / file, root / '2011_09_26')
    split, = create_kitti_raw_infos(root, tmp_path)
    lines = (source / 'image_02/timestamps.txt').read_text().splitlines()
    for frame, number in zip(frames_of(split), numbers, strict=True):
        second = float(lines[int(number)].split(':')[-1])
        assert abs(frame['timestamp'] % 60 - second) < 0.02


def test_camera_that_is_not_there_is_said(raw, tmp_path):
    shutil.rmtree(raw / DRIVES[0] / 'image_03')
    train, = create_kitti_raw_infos(raw, tmp_path, val_scenes=0)
    assert [list(frame['images']) for frame in frames_of(train)] == [['CAM2']] * 5 + [['CAM2', 'CAM3']] * 10
    assert train.left_out == () and train.remarks[0] == (
        '2011_09_26_drive_0001_sync: no images of CAM3; its frames have CAM2 only')
    assert "dict(type='SampleCameras', num_cameras=1)" in train.remarks[1]

    asked_for, = create_kitti_raw_infos(raw, tmp_path, ['CAM2', 'CAM3'], val_scenes=0)
    assert asked_for.num_frames == 10 and '5 of 5 frames lack' in asked_for.left_out[0]


def test_odometry_with_the_right_camera_only(odometry, tmp_path):
    for sequence in ('00', '01'):
        shutil.rmtree(odometry / f'sequences/{sequence}/image_2')
        (odometry / f'sequences/{sequence}/times.txt').unlink()
    train, val = create_kitti_odometry_infos(odometry, tmp_path)
    assert list(frames_of(train)[0]['images']) == ['CAM3'] and 'timestamp' not in frames_of(train)[0]
    assert val.remarks == (
        '01: no images of CAM2; its frames have CAM3 only', '00: no images of CAM2; its frames have CAM3 only',
        '01: no file of time stamps; its frames have none', '00: no file of time stamps; its frames have none')


def test_jpegs_hidden_files_and_folders_of_a_raw_drive(raw, tmp_path):
    expected = frames_of(create_kitti_raw_infos(raw, tmp_path, val_scenes=0)[0])
    for path in list(raw.rglob('image_0*/data/*.png')):
        cv2.imwrite(str(path.with_suffix('.jpg')), cv2.imread(str(path)))
        path.unlink()
    for folder in raw.rglob('data'):
        for name in ('._0000000000.bin', '._0000000000.png', '.DS_Store', 'Thumbs.db'):
            (folder / name).write_bytes(b'\0\5\x16\7')
    (raw / '2011_09_26/._2011_09_26_drive_0001_sync').mkdir()
    split, = create_kitti_raw_infos(raw, tmp_path, val_scenes=0)
    assert split.left_out == split.remarks == ()
    for frame in expected:
        for image in frame['images'].values():
            image['img_path'] = image['img_path'].replace('.png', '.jpg')
    assert frames_of(split) == expected
