"""The Waymo converter on folders as mmdet3d writes them, old and new."""
import importlib.util
import shutil
from pathlib import Path

import cv2
import mmdet3d
import mmengine
import numpy as np
import pytest

from simipu.datasets import PairedDataset
from simipu.datasets.converters import Subset, create_waymo_infos
from simipu.datasets.converters.waymo import CAMERAS
from simipu.errors import DataError

NAMES = ['0000000', '0000001', '0001000', '0001001']  # two sequences of two frames
SIZES = [(48, 32)] * 3 + [(48, 22)] * 2  # the side cameras are less high
TOOLS = Path(mmdet3d.__file__).parent / '.mim/tools/dataset_converters'


def calibration(seed: int) -> dict:
    """Matrices such as mmdet3d's converter writes: P (3, 4), Tr (3, 4)."""
    rng = np.random.default_rng(seed)
    values = {}
    for number in range(5):
        values[f'P{number}'] = np.array([[40 + rng.random(), 0, 24, 0], [0, 41, 15, 0],
                                         [0, 0, 1, 0]])
    values['R0_rect'] = np.eye(3)
    axes = np.array([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]])
    for number, yaw in enumerate((0, 45, -45, 90, -90)):
        cos, sin = np.cos(np.deg2rad(yaw)), np.sin(np.deg2rad(yaw))
        turn = axes @ np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])
        values[f'Tr_velo_to_cam_{number}'] = np.c_[turn, rng.uniform(-2, 2, 3)]
    return values


def write_split(root: Path, part: str) -> None:
    rng = np.random.default_rng(0)
    for folder in ('velodyne', 'calib', 'timestamp', *(f'image_{n}' for n in range(5))):
        (root / part / folder).mkdir(parents=True)
    for seed, name in enumerate(NAMES):
        rng.uniform(-50, 50, (60, 6)).astype(np.float32).tofile(root / part / f'velodyne/{name}.bin')
        for number, (width, height) in enumerate(SIZES):
            picture = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
            cv2.imwrite(str(root / part / f'image_{number}/{name}.jpg'), picture)
        # mmdet3d's format: '{:e}' of all values in a line each, and an empty line at the end.
        lines = [f'{key}: ' + ' '.join(f'{x:e}' for x in matrix.ravel())
                 for key, matrix in calibration(seed).items()]
        (root / part / f'calib/{name}.txt').write_text('\n'.join(lines) + '\n\n')
        (root / part / f'timestamp/{name}.txt').write_text(str(1550083467346370 + seed * 100000))


@pytest.fixture
def waymo(tmp_path) -> Path:
    root = tmp_path / 'kitti_format'
    write_split(root, 'training')
    return root


@pytest.fixture
def waymo_1_4(waymo) -> Path:
    """As mmdet3d 1.4 leaves it: calibration in the info file only (its create_waymo_info_file)."""
    frames = []
    for seed, name in enumerate(NAMES):
        values = calibration(seed)
        images = {}
        for number, (camera, (width, height)) in enumerate(zip(CAMERAS, SIZES)):
            lidar2cam = np.r_[values[f'Tr_velo_to_cam_{number}'], [[0, 0, 0, 1]]]
            cam2img = values[f'P{number}']
            images[camera] = dict(
                img_path=f'{name}.jpg', height=height, width=width,
                lidar2cam=lidar2cam.astype(np.float32).tolist(),
                cam2img=cam2img.astype(np.float32).tolist(),
                lidar2img=(cam2img @ lidar2cam).astype(np.float32).tolist())
        frames.append(dict(
            sample_idx=int(name), timestamp=1550083467346370 + seed * 100000, images=images,
            context_name='10023947602400723454_1120_000_1140_000',
            lidar_points=dict(lidar_path=f'{name}.bin', num_pts_feats=6), instances=[]))
    mmengine.dump(dict(metainfo=dict(dataset='waymo'), data_list=frames),
                  waymo / 'waymo_infos_train.pkl')
    shutil.rmtree(waymo / 'training/calib')
    shutil.rmtree(waymo / 'training/timestamp')
    return waymo


def frames_of(split) -> list:
    return mmengine.load(split.info_file)['data_list']


def expected_matrix(seed: int, number: int) -> np.ndarray:
    values = calibration(seed)
    return values[f'P{number}'] @ np.r_[values[f'Tr_velo_to_cam_{number}'], [[0, 0, 0, 1]]]


@pytest.mark.parametrize('layout', ['waymo', 'waymo_1_4'])
def test_five_cameras_of_old_and_new_folders(layout, request, tmp_path):
    root = request.getfixturevalue(layout)
    split, = create_waymo_infos(root, tmp_path)
    assert split.info_file.name == 'simipu_infos_train.pkl' and split.num_frames == 4
    for seed, (frame, name) in enumerate(zip(frames_of(split), NAMES)):
        assert list(frame['images']) == list(CAMERAS) and frame['sequence'] == name[:4]
        assert frame['sample_idx'] == int(name)
        assert frame['timestamp'] == pytest.approx(1550083467.34637 + 0.1 * seed, abs=1e-5)
        for number, image in enumerate(frame['images'].values()):
            assert image['img_path'] == f'training/image_{number}/{name}.jpg'
            assert (image['width'], image['height']) == SIZES[number]
            np.testing.assert_allclose(np.array(image['lidar2img'])[:3],
                                       expected_matrix(seed, number), atol=1e-4)
    dataset = PairedDataset(str(split.info_file), data_root=str(root), pipeline=[
        dict(type='LoadPairedPoints', load_dim=6, use_dim=4), dict(type='LoadPairedImages'),
        dict(type='PackPairedInputs')])
    assert [tuple(image.shape[1:]) for image in dataset[3]['inputs']['img']] == [
        (height, width) for width, height in SIZES]


@pytest.mark.filterwarnings('ignore')
def test_calibration_is_that_of_mmdet3ds_reader(waymo, tmp_path):
    """mmdet3d's WaymoInfoGatherer, which older versions used on these folders."""
    spec = importlib.util.spec_from_file_location('kitti_data_utils', TOOLS / 'kitti_data_utils.py')
    theirs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(theirs)
    gatherer = theirs.WaymoInfoGatherer(str(waymo), training=True, label_info=False, velodyne=True,
                                        calib=True, pose=False, max_sweeps=0)
    frames = frames_of(create_waymo_infos(waymo, tmp_path)[0])
    for frame, name in zip(frames, NAMES):
        info = gatherer.gather_single(int(name))
        calib = info['calib']
        assert info['point_cloud']['velodyne_path'] == frame['lidar_points']['lidar_path']
        assert info['timestamp'] / 1e6 == pytest.approx(frame['timestamp'])
        for number, image in enumerate(frame['images'].values()):
            extrinsic = calib['Tr_velo_to_cam' + (str(number) if number else '')]
            expected = calib[f'P{number}'] @ calib['R0_rect'] @ extrinsic
            np.testing.assert_allclose(image['lidar2img'], expected, rtol=1e-9)


def test_mmdet3d_1_4_info_file_is_read_as_it_is(waymo_1_4, tmp_path):
    theirs = PairedDataset('waymo_infos_train.pkl', data_root=str(waymo_1_4), data_prefix=dict(
        pts='training/velodyne',
        **{camera: f'training/image_{number}' for number, camera in enumerate(CAMERAS)}))
    create_waymo_infos(waymo_1_4, tmp_path)
    ours = PairedDataset(str(tmp_path / 'simipu_infos_train.pkl'), data_root=str(waymo_1_4))
    for index in range(4):
        expected, found = theirs.get_data_info(index), ours.get_data_info(index)
        for key in ('img_path', 'lidar_path', 'img_size', 'cam_names', 'lidar_format'):
            assert found[key] == expected[key]
        np.testing.assert_allclose(found['lidar2img'], expected['lidar2img'], atol=1e-4)


def test_splits_cameras_and_part_of_the_data(waymo, tmp_path):
    shutil.copytree(waymo / 'training', waymo / 'validation')
    train, val = create_waymo_infos(waymo, tmp_path, ['CAM_SIDE_LEFT'], Subset(scenes=0.5, every=2))
    assert [split.info_file.stem for split in (train, val)] == [
        'simipu_infos_train', 'simipu_infos_val']
    frame, = frames_of(train)
    assert frame['sample_idx'] == 0 and list(frame['images']) == ['CAM_SIDE_LEFT']
    assert frame['images']['CAM_SIDE_LEFT']['img_path'] == 'training/image_3/0000000.jpg'
    assert frames_of(val)[0]['lidar_points']['lidar_path'] == 'validation/velodyne/0000000.bin'


@pytest.mark.parametrize('break_it, message', [
    (lambda root: shutil.rmtree(root / 'training'), 'no clouds; expected training/velodyne'),
    (lambda root: shutil.rmtree(root / 'training/calib'), 'no calib folder, and there is no .*'
     'waymo_infos_train.pkl'),
    (lambda root: (root / 'training/calib/0001000.txt').unlink(), 'no file .*calib/0001000.txt'),
    (lambda root: (root / 'training/image_4/0001000.jpg').unlink(), 'no file .*image_4/0001000.png or .jpg'),
    (lambda root: (root / 'training/velodyne/0001000.bin').write_bytes(b'x' * 25),
     '0001000.bin: 25 bytes; expected a positive multiple of 24'),
])
def test_broken_folders(break_it, message, waymo, tmp_path):
    break_it(waymo)
    with pytest.raises(DataError, match=message):
        create_waymo_infos(waymo, tmp_path / 'infos')
    assert not list(tmp_path.glob('infos/*'))


def test_frame_unknown_to_mmdet3ds_infos_and_unknown_camera(waymo_1_4, tmp_path):
    with pytest.raises(DataError, match='unknown cameras CAM_BACK; expected some of CAM_FRONT'):
        create_waymo_infos(waymo_1_4, tmp_path, ['CAM_BACK'])
    shutil.copy(waymo_1_4 / 'training/velodyne/0000000.bin',
                waymo_1_4 / 'training/velodyne/0002000.bin')
    with pytest.raises(DataError, match='waymo_infos_train.pkl has no frame 0002000'):
        create_waymo_infos(waymo_1_4, tmp_path)


def test_only_the_chosen_cameras_are_needed(waymo, tmp_path):
    """And hidden files, as macOS leaves them, are no frames."""
    expected = frames_of(create_waymo_infos(waymo, tmp_path, ['CAM_FRONT'])[0])
    for number in range(1, 5):
        shutil.rmtree(waymo / f'training/image_{number}')
    for path in (waymo / 'training/calib').iterdir():
        path.write_bytes('\r\n'.join(line for line in path.read_text().splitlines() if line.startswith((
            'P0', 'R0', 'Tr_velo_to_cam_0'))).encode('utf-8-sig'))
    for folder in ('velodyne', 'image_0', 'calib', 'timestamp'):
        for name in ('._0000000.bin', '._0000000.jpg', '.DS_Store', '._0000000.txt'):
            (waymo / 'training' / folder / name).write_bytes(b'\0\5\x16\7')
    assert frames_of(create_waymo_infos(waymo, tmp_path, ['CAM_FRONT'])[0]) == expected


def test_time_stamp_that_is_no_number(waymo, tmp_path):
    (waymo / 'training/timestamp/0001000.txt').write_text('noon')
    with pytest.raises(DataError, match='timestamp/0001000.txt: expected a time stamp in microseconds, found "noon"'):
        create_waymo_infos(waymo, tmp_path)


def first_frame(infos: dict) -> dict:
    return infos['data_list'][0]


@pytest.mark.parametrize('spoil, message', [
    (lambda infos: infos.pop('data_list'), r'expected the field data_list \(list\), found metainfo'),
    (lambda infos: infos.update(data_list={}), r'expected the field data_list \(list\), found data_list = {}'),
    (lambda infos: first_frame(infos).pop('lidar_points'), r'data_list\[0\]: expected the field lidar_points'),
    (lambda infos: first_frame(infos)['lidar_points'].update(lidar_path=3), r'lidar_points: .* lidar_path = 3'),
    (lambda infos: first_frame(infos)['images'].pop('CAM_FRONT'), '0000000: images: expected the field CAM_FRONT'),
    (lambda infos: first_frame(infos)['images']['CAM_FRONT'].pop('cam2img'), 'CAM_FRONT: expected the field cam2img'),
    (lambda infos: first_frame(infos)['images']['CAM_FRONT'].update(lidar2cam=[[1, 'x']]),
     'CAM_FRONT.lidar2cam: expected a 3x3, 3x4 or 4x4 matrix of numbers'),
])
def test_faulty_info_files_of_mmdet3d(spoil, message, waymo_1_4, tmp_path):
    infos = mmengine.load(waymo_1_4 / 'waymo_infos_train.pkl')
    spoil(infos)
    mmengine.dump(infos, waymo_1_4 / 'waymo_infos_train.pkl')
    with pytest.raises(DataError, match=f'waymo_infos.*{message}') as error:
        create_waymo_infos(waymo_1_4, tmp_path, num_workers=1)
    assert '\n' not in str(error.value).removesuffix('\nRestore the original calibration')


def test_info_file_that_is_cut_short(waymo_1_4, tmp_path):
    path = waymo_1_4 / 'waymo_infos_train.pkl'
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match='waymo_infos_train.pkl: expected a pickle of dicts'):
        create_waymo_infos(waymo_1_4, tmp_path)


def test_resized_images(waymo, tmp_path):
    for path in (waymo / 'training/image_0').iterdir():
        cv2.imwrite(str(path), cv2.resize(cv2.imread(str(path)), None, fx=0.5, fy=0.5))
    with pytest.raises(DataError, match='image_0/0000000.jpg: the image has another size .* about 0.5'):
        create_waymo_infos(waymo, tmp_path)
