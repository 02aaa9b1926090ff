"""Folders in KITTI's layout as people have them: other suffixes and digits, calibration of other sets, odd lists."""
import re
from pathlib import Path

import cv2
import mmengine
import numpy as np
import pytest

from simipu.datasets.converters import create_kitti_infos, kitti_calibration
from simipu.errors import DataError

CALIBS = 'training/calib'


def frames_of(split) -> list:
    return mmengine.load(split.info_file)['data_list']


@pytest.fixture
def expected(tiny_kitti, tmp_path) -> list:
    """The frames of the folder as it is meant to be."""
    return frames_of(create_kitti_infos(tiny_kitti, tmp_path / 'expected')[0])


def rename(root: Path, folder: str, pattern: str) -> None:
    for path in sorted((root / 'training' / folder).iterdir()):
        path.rename(path.with_name(pattern.format(int(path.stem))))


def paths_of(frame: dict) -> list:
    return [frame['images']['CAM2']['img_path'], frame['lidar_points']['lidar_path']]


@pytest.mark.parametrize('suffix', ['jpg', 'jpeg', 'JPG', 'PNG'])
def test_images_of_another_suffix(suffix, tiny_kitti, expected, tmp_path):
    for path in sorted((tiny_kitti / 'training/image_2').iterdir()):
        cv2.imwrite(str(path.with_suffix(f'.{suffix}')), cv2.imread(str(path)))
        path.unlink()
    split, = create_kitti_infos(tiny_kitti, tmp_path)
    for frame in expected:
        frame['images']['CAM2']['img_path'] = frame['images']['CAM2']['img_path'].replace('png', suffix)
    assert frames_of(split) == expected and split.remarks == ()


def test_a_png_beside_its_jpeg_is_taken(tiny_kitti, expected, tmp_path):
    image = cv2.imread(str(tiny_kitti / 'training/image_2/000001.png'))
    cv2.imwrite(str(tiny_kitti / 'training/image_2/000001.jpg'), image)
    assert frames_of(create_kitti_infos(tiny_kitti, tmp_path)[0]) == expected


@pytest.mark.parametrize('folder, pattern', [
    ('image_2', '{:05}.png'), ('velodyne', '{:010}.bin'), ('calib', '{}.txt')])
def test_other_digits_in_one_folder(folder, pattern, tiny_kitti, expected, tmp_path):
    rename(tiny_kitti, folder, pattern)
    found = frames_of(create_kitti_infos(tiny_kitti, tmp_path)[0])
    for ours, theirs in zip(found, expected, strict=True):
        assert ours['images']['CAM2']['lidar2img'] == theirs['images']['CAM2']['lidar2img']
        with_six_digits = [re.sub(r'\d{5,}', lambda name: f'{int(name[0]):06}', path) for path in paths_of(ours)]
        assert with_six_digits == paths_of(theirs)


LISTS = {
    'five digits': ('00000\n00001\n', None),
    'no leading zeros': ('0\n1\n', None),
    'names of images': ('000000.png\n000001.png\n', None),
    'paths': ('training/image_2/000000.png\ntraining/image_2/000001.png\n', None),
    'paths of Windows': ('training\\velodyne\\000000.bin\r\ntraining\\velodyne\\000001.bin\r\n', None),
    'all in one line': ('000000 000001', None),
    'comments': ('# frames of Monday\n000000\n000001\n', None),
    'class in column 2': ('000000 1\n000001 -1\n', 'has 2 columns; column 1 was taken'),
    'number in column 1': ('1 000000\n0 000001\n', 'has 2 columns; column 2 was taken'),
    'comma separated': ('000000,0.5,Car\n000001,0.25,Car\n', 'has 3 columns; column 1 was taken'),
    'columns in some lines': ('000000\n000001 difficult\n', 'has 2 columns; column 1 was taken'),
    'frames twice': ('000000\n000001\n000000\n', '1 of 3 entries repeat a frame'),
    'frames twice, other digits': ('000000\n000001\n00001\n1\n', '2 of 4 entries repeat a frame'),
}


@pytest.mark.parametrize('case', LISTS)
@pytest.mark.parametrize('encoding', ['utf-8-sig', 'utf-16'])
def test_lists(case, encoding, tiny_kitti, expected, tmp_path):
    text, remark = LISTS[case]
    (tiny_kitti / 'ImageSets/train.txt').write_bytes(text.encode(encoding))
    split, = create_kitti_infos(tiny_kitti, tmp_path)
    assert frames_of(split) == expected
    assert [re.search(remark, line) is not None for line in split.remarks] == ([True] if remark else [])


def test_hidden_files_are_none(tiny_kitti, expected, tmp_path):
    for folder in ('ImageSets', 'training/image_2', 'training/velodyne', 'training/calib'):
        for name in ('._000000.png', '._000000.bin', '._000000.txt', '._train.txt', '.DS_Store', 'Thumbs.db'):
            (tiny_kitti / folder / name).write_bytes(b'\0\5\x16\7')
    split, = create_kitti_infos(tiny_kitti, tmp_path)
    assert frames_of(split) == expected


def tracking(text: str) -> str:
    """As the tracking set has it: other names, of which some lack the colon."""
    return text.replace('R0_rect:', 'R_rect').replace('Tr_velo_to_cam:', 'Tr_velo_cam') + 'Tr_imu_velo 1 0 0 0\n'


def odometry(text: str) -> str:
    """As the odometry set has it; R0_rect of the example is the identity."""
    return ''.join(line.replace('Tr_velo_to_cam', 'Tr') + '\n' for line in text.splitlines() if 'R0_rect' not in line)


@pytest.mark.parametrize('change', [
    tracking, odometry, lambda text: '\ufeff' + text, lambda text: text.replace('\n', '\r\n'),
    lambda text: '\n' + text.replace('\n', '\n\n  \n'), lambda text: text.replace(':', ' :'),
    lambda text: text.replace(': ', ':\t'), lambda text: 'calib_time: 09-Jan-2012 13:57:47\n' + text])
def test_calibration_of_other_sets_and_editors(change, tiny_kitti, expected, tmp_path):
    for path in (tiny_kitti / CALIBS).iterdir():
        path.write_bytes(change(path.read_text()).encode())
    split, = create_kitti_infos(tiny_kitti, tmp_path)
    assert frames_of(split) == expected and split.remarks == ()


def test_real_calibration_as_the_tracking_set_writes_it(real_data, tmp_path):
    path = real_data / 'kitti/training/calib/000008.txt'
    (tmp_path / '0008.txt').write_text(tracking(path.read_text()))
    for ours, theirs in zip(kitti_calibration(tmp_path / '0008.txt')[:2], kitti_calibration(path)[:2]):
        np.testing.assert_array_equal(ours, theirs)


def without_rectification(path: Path) -> None:
    path.write_text(''.join(line for line in path.read_text().splitlines(True) if 'R0_rect' not in line))


def test_assumed_rectification_is_said(tiny_kitti, expected, tmp_path):
    for path in (tiny_kitti / CALIBS).iterdir():
        without_rectification(path)
    split, = create_kitti_infos(tiny_kitti, tmp_path)
    remark, = split.remarks
    assert 'training/calib/000000.txt and all others: no R0_rect' in remark and 'R0_rect = identity' in remark
    assert frames_of(split) == expected


def test_rectification_that_only_some_files_lack_is_refused(tiny_kitti, tmp_path):
    without_rectification(tiny_kitti / CALIBS / '000001.txt')
    with pytest.raises(DataError, match='000001.txt: no R0_rect, as in 1 of 2 calibration files, while the others'):
        create_kitti_infos(tiny_kitti, tmp_path)


def test_lists_of_one_name_would_write_one_file(tiny_kitti, tmp_path):
    for folder in 'ab':
        (tmp_path / folder).mkdir()
        (tmp_path / folder / 'train.txt').write_text('000000\n')
    with pytest.raises(DataError, match='--splits: .*a/train.txt, .*b/train.txt: .* give each list another name'):
        create_kitti_infos(tiny_kitti, tmp_path, splits=[str(tmp_path / folder / 'train.txt') for folder in 'ab'])


@pytest.mark.parametrize('text, message', [
    ('000000\nnobody\n', 'no file .*/nobody.txt for a frame of .*train.txt; the folder has 2 files such as 000000.txt'),
    ('000000 1\n000001\n7 000001\n', 'no file .*/7.txt for a frame of .*train.txt'),
    ('# nothing\n', 'train.txt is empty; expected one frame number per line'),
])
def test_lists_that_name_no_frames(text, message, tiny_kitti, tmp_path):
    (tiny_kitti / 'ImageSets/train.txt').write_text(text)
    with pytest.raises(DataError, match=message):
        create_kitti_infos(tiny_kitti, tmp_path)


def test_clouds_of_another_format_are_named(tiny_kitti, tmp_path):
    rename(tiny_kitti, 'velodyne', '{:06}.pcd')
    with pytest.raises(DataError, match='no file .*velodyne/000000.bin .* the folder has 2 files such as 000000.pcd'):
        create_kitti_infos(tiny_kitti, tmp_path)
