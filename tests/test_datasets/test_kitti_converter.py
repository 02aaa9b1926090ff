"""The KITTI converter against KITTI's labels, mmdet3d's own converter, and broken data sets."""
import importlib.util
import shutil
from pathlib import Path

import mmdet3d
import mmengine
import numpy as np
import pytest

from simipu.datasets.converters import common, create_kitti_infos
from simipu.errors import DataError


def frames_of(info_file) -> list:
    return mmengine.load(info_file)['data_list']


@pytest.fixture
def real_frames(real_data, tmp_path) -> list:
    return frames_of(create_kitti_infos(real_data / 'kitti', tmp_path)[0].info_file)


def read_objects(label_file: Path) -> list:
    """Per object its 2D box (left, top, right, bottom) and 3D box (h, w, l, x, y, z, ry)."""
    lines = [line.split() for line in label_file.read_text().splitlines()]
    return [(np.array(line[4:8], float), np.array(line[8:15], float)) for line in lines
            if line[0] != 'DontCare']


def inside_box(points: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Which points (N, 3) of the rectified camera frame are in a box of KITTI's convention."""
    height, width, length, *bottom, angle = box
    x, y, z = (points - bottom).T
    along = np.cos(angle) * x - np.sin(angle) * z
    across = np.sin(angle) * x + np.cos(angle) * z
    return (np.abs(along) < length / 2) & (np.abs(across) < width / 2) & (-height < y) & (y < 0)


def test_points_in_labelled_boxes_project_into_their_2d_boxes(real_data, real_frames):
    """Ties the LiDAR frame, the camera frame and the image together by KITTI's annotators' work."""
    points_checked = []
    for frame in real_frames[:3]:
        camera = frame['images']['CAM2']
        cloud = np.fromfile(real_data / 'kitti' / frame['lidar_points']['lidar_path'], np.float32)
        homogeneous = np.insert(cloud.reshape(-1, 4)[:, :3].astype(float), 3, 1, axis=1)
        in_camera = (homogeneous @ np.array(camera['lidar2cam']).T)[:, :3]
        in_image = homogeneous @ np.array(camera['lidar2img']).T
        labels = real_data / 'kitti/training/label_2' / f'{frame["sample_idx"]:06}.txt'
        for box_2d, box_3d in read_objects(labels):
            inside = inside_box(in_camera, box_3d)
            pixels = in_image[inside, :2] / in_image[inside, 2:3]
            assert (pixels > box_2d[:2] - 3).all() and (pixels < box_2d[2:] + 3).all()
            points_checked.append(inside.sum())
    assert sum(points_checked) > 500 and len(points_checked) == 5, points_checked


@pytest.mark.filterwarnings('ignore')
def test_calibration_is_that_of_mmdet3ds_converter(real_data, real_frames):
    path = Path(mmdet3d.__file__).parent / '.mim/tools/dataset_converters/kitti_data_utils.py'
    spec = importlib.util.spec_from_file_location('kitti_data_utils', path)
    theirs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(theirs)
    infos = theirs.get_kitti_image_info(
        str(real_data / 'kitti'), label_info=False, velodyne=True, calib=True,
        image_ids=[0, 1, 3, 8], num_worker=1)
    for frame, info in zip(real_frames, infos, strict=True):
        camera, calib = frame['images']['CAM2'], info['calib']
        expected = calib['P2'] @ calib['R0_rect'] @ calib['Tr_velo_to_cam']
        np.testing.assert_allclose(camera['lidar2img'], expected, rtol=1e-12)
        np.testing.assert_allclose(camera['cam2img'], calib['P2'])
        assert [camera['height'], camera['width']] == info['image']['image_shape'].tolist()
        assert camera['img_path'] == info['image']['image_path']
        assert frame['lidar_points']['lidar_path'] == info['point_cloud']['velodyne_path']
        assert frame['sample_idx'] == info['image']['image_idx']


def test_labels_make_no_difference(real_data, real_frames, tmp_path):
    unlabelled = tmp_path / 'unlabelled'
    shutil.copytree(real_data / 'kitti', unlabelled, ignore=shutil.ignore_patterns('label_2'))
    assert frames_of(create_kitti_infos(unlabelled, tmp_path)[0].info_file) == real_frames


def test_splits(tiny_kitti, tmp_path):
    shutil.copytree(tiny_kitti / 'training', tiny_kitti / 'testing')
    (tiny_kitti / 'ImageSets/test.txt').write_text('000001\n')
    (tiny_kitti / 'ImageSets/val.txt').write_text('\n')
    mine = tmp_path / 'mine.txt'
    mine.write_text('000001\n000000\n')

    written = create_kitti_infos(tiny_kitti, tmp_path / 'all')
    assert [split.info_file.name for split in written] == [
        'simipu_infos_test.pkl', 'simipu_infos_train.pkl']
    test_frame, = frames_of(written[0].info_file)
    assert test_frame['images']['CAM2']['img_path'] == 'testing/image_2/000001.png'

    given, = create_kitti_infos(tiny_kitti, tmp_path / 'given', splits=[str(mine)])
    assert given.info_file == tmp_path / 'given/simipu_infos_mine.pkl'
    assert [frame['sample_idx'] for frame in frames_of(given.info_file)] == [1, 0]
    assert [f.name for f in (tmp_path / 'given').iterdir()] == ['simipu_infos_mine.pkl']


def test_lists_without_their_folder_are_left_out(tiny_kitti, tmp_path):
    (tiny_kitti / 'ImageSets/test.txt').write_text('000001\n')
    split, = create_kitti_infos(tiny_kitti, tmp_path)
    assert split.info_file.name == 'simipu_infos_train.pkl'
    assert split.left_out == (f'ImageSets/test.txt: no folder {tiny_kitti}/testing',)

    with pytest.raises(DataError, match='no folder .*testing/velodyne'):  # asked for by name
        create_kitti_infos(tiny_kitti, tmp_path, splits=['test'])


def test_an_empty_list_is_reported(tiny_kitti, tmp_path):
    (tiny_kitti / 'ImageSets/val.txt').write_text(' \n')
    split, = create_kitti_infos(tiny_kitti, tmp_path)
    assert split.info_file.name == 'simipu_infos_train.pkl' and split.left_out == ('ImageSets/val.txt: it is empty', )


def test_a_number_with_a_fraction_is_no_frame(tiny_kitti, tmp_path):
    (tiny_kitti / 'ImageSets/train.txt').write_text('000000\n1.5\n')
    with pytest.raises(DataError, match='1.5'):
        create_kitti_infos(tiny_kitti, tmp_path)


def test_reduced_clouds(tiny_kitti, tmp_path):

    def cloud_path(**kwargs) -> str:
        split, = create_kitti_infos(tiny_kitti, tmp_path, **kwargs)
        frame = frames_of(split.info_file)[0]
        assert split.clouds == str(Path(frame['lidar_points']['lidar_path']).parent)
        return frame['lidar_points']['lidar_path']

    shutil.copytree(tiny_kitti / 'training/velodyne', tiny_kitti / 'training/velodyne_reduced')
    assert cloud_path() == 'training/velodyne/000000.bin'
    assert cloud_path(clouds='velodyne_reduced') == 'training/velodyne_reduced/000000.bin'
    shutil.rmtree(tiny_kitti / 'training/velodyne')
    assert cloud_path() == 'training/velodyne_reduced/000000.bin'
    with pytest.raises(DataError, match='no folder .*training/velodyne; expected the point clouds'):
        cloud_path(clouds='velodyne')


def test_many_processes_give_what_one_gives(tiny_kitti, tmp_path):
    for frame in range(2, 40):
        for folder, suffix in (('image_2', 'png'), ('velodyne', 'bin'), ('calib', 'txt')):
            (tiny_kitti / f'training/{folder}/{frame:06}.{suffix}').hardlink_to(
                tiny_kitti / f'training/{folder}/{frame % 2:06}.{suffix}')
    (tiny_kitti / 'ImageSets/train.txt').write_text(''.join(f'{frame:06}\n' for frame in range(40)))
    parallel, = create_kitti_infos(tiny_kitti, tmp_path / 'parallel', num_workers=2)
    serial, = create_kitti_infos(tiny_kitti, tmp_path / 'serial', num_workers=1)
    assert parallel.num_frames == 40
    assert frames_of(parallel.info_file) == frames_of(serial.info_file)


def test_an_error_in_another_process_arrives(tiny_kitti, tmp_path, monkeypatch):
    monkeypatch.setattr(common, 'FRAMES_PER_CHUNK', 1)
    truncate(tiny_kitti / CLOUD, 1598)
    with pytest.raises(DataError, match='000001.bin: 1598 bytes'):
        create_kitti_infos(tiny_kitti, tmp_path / 'infos', num_workers=2)
    assert not list(tmp_path.glob('infos/*'))


CALIB, CLOUD, IMAGE = (f'training/{name}' for name in (
    'calib/000001.txt', 'velodyne/000001.bin', 'image_2/000001.png'))
BROKEN = {
    'no root': (lambda root: shutil.rmtree(root), 'tiny_kitti is not a folder'),
    'no lists': (lambda root: shutil.rmtree(root / 'ImageSets'), 'no lists .*--splits'),
    'no frames': (lambda root: shutil.rmtree(root / 'training'), 'neither training nor testing'),
    'no P2': (lambda root: replace(root / CALIB, 'P2', 'P4'), f'{CALIB}: no P2.*found P4, R0_rect'),
    'short R0': (lambda root: replace(root / CALIB, 'R0_rect: 1', 'R0_rect:'),
                 f'{CALIB}: R0_rect has 8 numbers, expected 9'),
    'text in P2': (lambda root: replace(root / CALIB, 'P2: 40', 'P2: forty'),
                   f'{CALIB}: .*"P2:".*forty'),
    'singular P2': (lambda root: replace(root / CALIB, 'P2: 40', 'P2: 0'),
                    f'{CALIB}: P2 is singular'),
    'singular Tr': (lambda root: replace(root / CALIB, 'cam: 0 -1', 'cam: 0 0'),
                    f'{CALIB}: Tr_velo_to_cam is singular'),
    'NaN in R0': (lambda root: replace(root / CALIB, 'R0_rect: 1', 'R0_rect: nan'),
                  f'{CALIB}: expected numbers after "R0_rect:", found "nan'),
    'no calibration': (lambda root: (root / CALIB).unlink(), f'no file .*{CALIB} .*train.txt'),
    'no cloud': (lambda root: (root / CLOUD).unlink(), f'no file .*{CLOUD} .*train.txt'),
    'truncated cloud': (lambda root: truncate(root / CLOUD, 1598),
                        f'{CLOUD}: 1598 bytes; expected a positive multiple of 16'),
    'empty cloud': (lambda root: truncate(root / CLOUD, 0), f'{CLOUD}: 0 bytes'),
    'no image': (lambda root: (root / IMAGE).unlink(), f'no file .*{IMAGE} .*train.txt'),
    'no image in it': (lambda root: (root / IMAGE).write_text('<html>'),
                       f'{IMAGE}: expected an image'),
}


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def truncate(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])


@pytest.mark.parametrize('case', BROKEN)
def test_broken_data_sets_are_refused(case, tiny_kitti, tmp_path):
    break_it, message = BROKEN[case]
    break_it(tiny_kitti)
    with pytest.raises(DataError, match=f'(?s){message}'):
        create_kitti_infos(tiny_kitti, tmp_path / 'infos')
    assert not list(tmp_path.glob('infos/*'))


def test_unknown_split_names_those_there_are(tiny_kitti, tmp_path):
    with pytest.raises(DataError, match='no list .*val.txt.*Lists in .*: train'):
        create_kitti_infos(tiny_kitti, tmp_path, splits=['val'])
