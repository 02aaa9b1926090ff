"""What a check of a data set finds, one fault at a time."""
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import mmengine
import numpy as np
import pytest

from simipu.datasets.checking import Finding, Report, check_dataset
from simipu.datasets.checking.info_checks import (
    check_calibration,
    check_intrinsics_and_sizes,
    check_time_stamps,
    describe_gaps,
)
from simipu.datasets.converters import create_kitti_infos
from simipu.geometry import rotation_matrix

TOOL = Path(__file__).resolve().parents[2] / 'tools' / 'check_dataset.py'
CAM2IMG = np.array([[700, 0, 600, 40], [0, 710, 180, 0], [0, 0, 1, 0], [0, 0, 0, 1.]])
LIDAR2CAM = np.array([[0, -1, 0, 0.1], [0, 0, -1, -0.2], [1, 0, 0, 0], [0, 0, 0, 1.]]) \
    @ rotation_matrix(0.03, 'y')


def camera(lidar2cam=LIDAR2CAM, lidar2img=None, **kwargs) -> dict:
    if lidar2img is None:
        lidar2img = CAM2IMG @ lidar2cam
    return dict(dict(cam2img=CAM2IMG, lidar2cam=lidar2cam, lidar2img=lidar2img, width=1242,
                     height=375), **kwargs)


def problems(image: dict) -> str:
    return '\n'.join(finding.message for finding in check_calibration(7, dict(CAM2=image)))


def test_sound_calibrations_have_no_problem():
    assert problems(camera()) == ''
    bare = camera()
    del bare['lidar2cam'], bare['cam2img']
    assert problems(bare) == ''
    del (split := camera())['lidar2img']
    assert problems(split) == ''


@pytest.mark.parametrize('image, message', [
    (camera(LIDAR2CAM * [[1.01], [1], [1], [1]]), r'is not orthonormal (error 0.02'),
    (camera(LIDAR2CAM[:, [1, 0, 2, 3]]), 'lidar2cam mirrors (determinant -1)'),
    (camera(lidar2img=CAM2IMG @ LIDAR2CAM @ np.diag([1, -1, 1, 1])), 'lidar2img mirrors'),
    (camera(LIDAR2CAM.T), 'the matrix may be transposed'),
    (camera(lidar2img=CAM2IMG @ rotation_matrix(0.01, 'y') @ LIDAR2CAM), 'pixels apart'),
    (camera(lidar2img=(CAM2IMG @ LIDAR2CAM).T), 'focal lengths'),
    (camera(width=400), 'the principal point (600, 180) lies outside the image of 400 x 375'),
])
def test_unsound_calibrations_are_named(image, message):
    assert 'frame 7, CAM2: ' in problems(image) and message in problems(image)


def test_another_drives_calibration_is_told_by_the_image_size():
    def frame(focal, width) -> dict:
        lidar2img = np.diag([focal, focal, 1, 1]) @ LIDAR2CAM
        return dict(images=dict(CAM2=camera(lidar2img=lidar2img, width=width)))

    drives = [frame(700, 1242)] * 3 + [frame(720, 1224)] * 2
    assert not list(check_intrinsics_and_sizes(drives))
    finding, = check_intrinsics_and_sizes([*drives, frame(700, 1224)])
    assert finding.frame == 5
    assert '1224 x 375 pixels with the intrinsics of images of 1242 x 375' in finding.message


def stamped(*times, **kwargs) -> list:
    return [dict(timestamp=time, **kwargs) for time in times]


@pytest.mark.parametrize('infos, found', [
    (stamped(0, 0.1, 0.2, 0.31, sequence='a') + stamped(50, 50.1, sequence='b'), []),
    (stamped(0, 0.2, 0.1, 0.1, sequence='a'), ['frame 3: the same time stamp as frame 2']),
    ([dict(sequence='a')], []),
    (stamped(5, images=dict(A=dict(timestamp=5.05), B=dict(timestamp=4.5), C=dict())),
     ['frame 0, B: the image was taken 0.5 s before the cloud']),
])
def test_repeats_and_late_images_are_found(infos, found):
    messages = [finding.message for finding in check_time_stamps(infos)]
    assert len(messages) == len(found)
    assert all(message.startswith(start) for message, start in zip(messages, found))


@pytest.mark.parametrize('infos, found', [
    (stamped(0, 0.1, 0.2, 0.31, sequence='a') + stamped(50, 50.1, sequence='b'), []),
    (stamped(0, 0.1, 0.2, 0.6, 0.7, sequence='a'), ['sequence a: .* 1 place.* before frame 3, 0.4 s after']),
    (stamped(0, 1, 50), []),  # no sequences: nobody knows whether frames are missing
    ([dict(sequence='a')], [])])
def test_gaps_are_described_but_no_fault(infos, found):
    described = list(describe_gaps(infos))
    assert len(described) == len(found) and not list(check_time_stamps(infos))
    assert all(re.match(pattern, text) for text, pattern in zip(described, found, strict=True))


@pytest.fixture
def info_file(tiny_kitti):
    """Five frames; number 1 is a copy of no other."""
    for i in range(2, 5):
        for path in ('image_2/{}.png', 'velodyne/{}.bin', 'calib/{}.txt'):
            shutil.copy(tiny_kitti / 'training' / path.format('000000'),
                        tiny_kitti / 'training' / path.format(f'{i:06d}'))
    (tiny_kitti / 'ImageSets/train.txt').write_text('\n'.join(f'{i:06d}' for i in range(5)))
    create_kitti_infos(tiny_kitti, tiny_kitti)
    return tiny_kitti / 'simipu_infos_train.pkl'


def check(info_file, **kwargs) -> Report:
    return check_dataset(str(info_file), str(info_file.parent), **kwargs)


def test_sound_files_pass(info_file):
    report = check(info_file)
    assert report.num_frames == report.num_opened == 5
    kinds = {finding.kind for finding in report.findings}
    assert not kinds & {'missing file', 'unreadable file', 'size mismatch', 'duplicate',
                        'info file', 'calibration', 'time stamps'}
    assert 0.5 < report.cameras['CAM2']['visible_share'] <= 1


def test_every_bad_file_is_found_and_named(info_file):
    training = info_file.parent / 'training'
    (training / 'image_2/000001.png').unlink()
    (training / 'velodyne/000002.bin').write_bytes(b'123')
    cv2.imwrite(str(training / 'image_2/000003.png'), np.zeros((20, 30, 3), np.uint8))
    found = {(finding.kind, finding.frame) for finding in check(info_file).findings}
    assert found >= {('missing file', 1), ('unreadable file', 2), ('size mismatch', 3)}
    assert {frame for _, frame in found} <= {1, 2, 3, None}
    assert check(info_file, sample=2).num_opened == 2
    assert check(info_file, sample='all').num_opened == 5


def test_duplicates_and_frames_without_a_camera_are_found(info_file):
    infos = mmengine.load(info_file)
    infos['data_list'][4] = infos['data_list'][2]
    del infos['data_list'][3]['images']
    mmengine.dump(infos, info_file)
    findings = check(info_file, sample=1).findings
    duplicates = [finding.message for finding in findings if finding.kind == 'duplicate']
    assert len(duplicates) == 2 and all('frames 2, 4' in message for message in duplicates)
    assert [finding.frame for finding in findings if finding.kind == 'info file'] == [3]


def test_nothing_visible_is_found(info_file):
    infos = mmengine.load(info_file)
    backward = rotation_matrix(np.pi, 'z')
    for frame in infos['data_list']:
        image = frame['images']['CAM2']
        for key in ('lidar2cam', 'lidar2img'):
            image[key] = np.array(image[key]) @ backward
    mmengine.dump(infos, info_file)
    assert 'visible points' in {finding.kind for finding in check(info_file).findings}


def test_a_long_list_is_cut_in_the_text_alone():
    findings = [Finding('missing file', f'no file {i}') for i in range(30)]
    report = Report('infos.pkl', 40, 40, findings)
    text = report.to_text()
    assert 'missing file (30):' in text and 'no file 9\n' in text and 'no file 10' not in text
    assert 'and 20 more' in text and text.endswith('FAILED: 30 findings')
    assert len(report.to_dict()['findings']) == 30


def test_tool_prints_writes_json_and_exits(info_file, tmp_path):
    (info_file.parent / 'training/image_2/000001.png').unlink()
    command = [sys.executable, str(TOOL), str(info_file), '--json', str(tmp_path / 'report.json')]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert 'missing file (1):' in done.stdout and 'FAILED' in done.stdout
    report = json.loads((tmp_path / 'report.json').read_text())
    assert not report['passed'] and report['findings'][-1]['kind']
    command[2:] = [str(tmp_path / 'none.pkl')]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and 'error: no info file' in done.stderr
