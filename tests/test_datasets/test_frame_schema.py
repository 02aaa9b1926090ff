"""Fields of a user's frames: what is refused, and by which message."""
import copy

import numpy as np
import pytest

from simipu.datasets.converters.frame_schema import SCHEMA, check_frame
from simipu.errors import DataError

EYE = np.eye(4).tolist()
FULL = dict(
    sample_idx='a/1', sequence=3, timestamp=1532402927.0, split='val_2-b', ego2global=EYE,
    lidar_points=dict(lidar_path='a.bin', num_pts_feats=4, dtype='>f4', intensity_scale='tanh', lidar2ego=EYE),
    images=dict(
        left=dict(img_path='a.png', height=48, width=96, timestamp=0, bit_depth=12, apply_exif=False, lidar2img=EYE),
        right=dict(img_path='b.png', cam2img=np.eye(3).tolist(), cam2ego=EYE, ego2global=EYE, lidar2cam=EYE)))
LEFT = ('images', 'left')

FAULTS = [
    # The field, what it is set to (None: it is removed), and the message.
    (('timestamp', ), '1532402927.0', "timestamp: expected number .seconds., found '1532402927.0'"),
    (('timestamp', ), 1532402927647951, r'timestamp: expected a number below 1e\+11 .seconds., found 1532402927647951'),
    (('timestamp', ), True, 'timestamp: expected number'),
    (('timestamp', ), [1, 2], r'timestamp: expected number .*found \[1, 2\]'),
    ((*LEFT, 'timestamp'), None, None),
    ((*LEFT, 'timestamp'), '1', 'images.left.timestamp: expected number'),
    (('split', ), 'train ', "split: expected a string .*letters.*, found 'train '"),
    (('split', ), '../../x', r"split: .*found '\.\./\.\./x'"),
    (('split', ), 'train\n', 'split: .*found'),
    (('split', ), '', 'split: .*found'),
    (('split', ), 'père', 'split: .*found'),
    (('splt', ), 'val', 'unknown field splt; did you mean split?'),
    (('time_stamp', ), 1.0, 'unknown field time_stamp; did you mean timestamp?'),
    (('annotations', ), [], 'unknown field annotations; expected sample_idx, sequence, timestamp'),
    ((*LEFT, 'distortion'), [0.1], 'unknown field images.left.distortion.*must be undistorted .cv2.undistort'),
    ((*LEFT, 'dist_coeffs'), [0.1], 'unknown field images.left.dist_coeffs.*must be undistorted'),
    ((*LEFT, 'lidar2image'), EYE, 'unknown field images.left.lidar2image; did you mean lidar2img?'),
    ((*LEFT, 'lidar2img'), EYE[:2], 'images.left.lidar2img: expected 3 or 4 items .*found'),
    ((*LEFT, 'lidar2img'), [1.0] * 16, 'images.left.lidar2img: expected 3 or 4 items'),
    ((*LEFT, 'lidar2img'), [['1', 0, 0, 0], *EYE[1:]], r'images.left.lidar2img\[0\]\[0\]: expected number, found .1.'),
    ((*LEFT, 'lidar2img'), 'calib.txt', 'images.left.lidar2img: expected array .*found .calib.txt.'),
    ((*LEFT, 'height'), 48.5, 'images.left.height: expected integer .pixels., found 48.5'),
    ((*LEFT, 'img_path'), None, r'expected images.left.img_path .string: path of a file.*found height, width'),
    ((*LEFT, 'img_path'), '', 'images.left.img_path: expected a string that is not empty'),
    ((*LEFT, 'img_path'), ['a.png'], 'images.left.img_path: expected string'),
    (('lidar_points', 'num_pts_feats'), None, None),
    (('lidar_points', 'lidar_path'), None, 'expected lidar_points.lidar_path .string: path of a file'),
    (('lidar_points', 'dtype'), 'single precision', 'lidar_points.dtype: expected a string .*NumPy type'),
    (('lidar_points', 'intensity_scale'), 255, None),
    (('lidar_points', 'intensity_scale'), 0, 'lidar_points.intensity_scale: expected a number above 0'),
    (('lidar_points', 'intensity_scale'), 'log', 'lidar_points.intensity_scale: expected a string .tanh'),
    ((*LEFT, 'bit_depth'), 24, 'images.left.bit_depth: expected a number at most 16'),
    ((*LEFT, 'apply_exif'), 1, 'images.left.apply_exif: expected boolean'),
    (('lidar_points', 'num_pts_feats'), 2, 'lidar_points.num_pts_feats: expected a number at least 3'),
    (('lidar_points', 'num_pts_feats'), '4', 'lidar_points.num_pts_feats: expected integer'),
    (('lidar_points', 'path'), 'a.bin', 'unknown field lidar_points.path; did you mean lidar_path?'),
    (('lidar_points', ), None, 'expected lidar_points .object: the point cloud., found sample_idx'),
    (('lidar_points', ), 'a.bin', 'lidar_points: expected object'),
    (('images', ), {}, 'images is empty; expected at least one camera'),
    (('images', ), [], 'images: expected object'),
    (LEFT, 'a.png', 'images.left: expected object, found .a.png.'),
    (('sequence', ), 1.5, 'sequence: expected string or integer'),
]


def edited(place, value) -> dict:
    frame = copy.deepcopy(FULL)
    *way, key = place
    part = frame
    for name in way:
        part = part[name]
    if value is None:
        part.pop(key)
    else:
        part[key] = value
    return frame


def test_all_fields_are_taken():
    check_frame(FULL, 'line 1')


@pytest.mark.parametrize('place, value, message', FAULTS)
def test_fields(place, value, message):
    frame = edited(place, value)
    if message is None:
        check_frame(frame, 'line 7')
        return
    with pytest.raises(DataError, match=f'^line 7: {message}'):
        check_frame(frame, 'line 7')


def test_a_library_reads_the_schema_in_the_same_way():
    """The published file is what is checked: an implementation of the standard refuses the same frames."""
    jsonschema = pytest.importorskip('jsonschema', reason='jsonschema is not installed (requirements/tests.txt)')
    validator = jsonschema.Draft202012Validator(SCHEMA)
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert validator.is_valid(FULL)
    for place, value, message in FAULTS:
        if value != 'train\n':  # whose pattern that library takes as Python does
            assert validator.is_valid(edited(place, value)) == (message is None), place
