"""Sound inputs of every kind, small, from which the malformed ones are made."""
import copy
import io
import json
import pickle
from pathlib import Path

import cv2
import numpy as np

CALIBRATION = """P2: 40 0 20 4 0 40 10 0 0 0 1 0.005
R0_rect: 1 0 0 0 1 0 0 0 1
Tr_velo_to_cam: 0 -1 0 0 0 0 -1 -0.1 1 0 0 -0.3
"""
TRACKING = CALIBRATION.replace('R0_rect:', 'R_rect').replace('Tr_velo_to_cam:', 'Tr_velo_cam')
ODOMETRY = """P0: 40 0 20 0 0 40 10 0 0 0 1 0
P2: 40 0 20 4 0 40 10 0 0 0 1 0.005
P3: 40 0 20 -4 0 40 10 0 0 0 1 0.005
Tr: 0 -1 0 0 0 0 -1 -0.1 1 0 0 -0.3
"""
CAM_TO_CAM = """calib_time: 09-Jan-2012 13:57:47
S_rect_02: 4.000000e+01 2.000000e+01
S_rect_03: 4.000000e+01 2.000000e+01
R_rect_00: 1 0 0 0 1 0 0 0 1
P_rect_02: 40 0 20 4 0 40 10 0 0 0 1 0.005
P_rect_03: 40 0 20 -4 0 40 10 0 0 0 1 0.005
"""
VELO_TO_CAM = """calib_time: 15-Mar-2012 11:37:16
R: 0 -1 0 0 0 -1 1 0 0
T: 0 -0.1 -0.3
delta_f: 0 0
"""
IMAGE_SIZE = (20, 40)  # height and width
CAM2IMG = [[40.0, 0, 20, 4], [0, 40, 10, 0], [0, 0, 1, 0.005], [0, 0, 0, 1]]
LIDAR2CAM = [[0.0, -1, 0, 0], [0, 0, -1, -0.1], [1, 0, 0, -0.3], [0, 0, 0, 1]]
LIDAR2IMG = (np.array(CAM2IMG) @ LIDAR2CAM).tolist()
INFO = dict(
    sample_idx=0, timestamp=10.0, sequence='a',
    images=dict(CAM2=dict(img_path='training/image_2/000000.png', height=20, width=40, timestamp=10.01,
                          cam2img=CAM2IMG, lidar2cam=LIDAR2CAM, lidar2img=LIDAR2IMG)),
    lidar_points=dict(lidar_path='training/velodyne/000000.bin', num_pts_feats=4))
OWN_FRAME = dict(
    sample_idx=0, timestamp=10.0, sequence='a',
    images=dict(front=dict(img_path='training/image_2/000000.png', cam2img=CAM2IMG, lidar2cam=LIDAR2CAM)),
    lidar_points=dict(lidar_path='training/velodyne/000000.bin', num_pts_feats=4))


def points(width: int = 4, seed: int = 0) -> np.ndarray:
    """(100, width) float32: x, y, z ahead of the car in metres, then numbers from 0 to 1."""
    rng = np.random.default_rng(seed)
    xyz = rng.uniform([5, -5, -1], [40, 5, 1], (100, 3))
    return np.concatenate([xyz, rng.random((100, width - 3))], axis=1).astype(np.float32)


def picture(suffix: str = '.png', dtype: type = np.uint8) -> bytes:
    """An image file of IMAGE_SIZE with noise."""
    values = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (*IMAGE_SIZE, 3), dtype)
    return cv2.imencode(suffix, values)[1].tobytes()


def write(root: Path, files: dict[str, str | bytes]) -> Path:
    """Write files by their path below ``root``."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def info_frames() -> list[dict]:
    """Two frames of an info file."""
    second = json.loads(json.dumps(INFO).replace('000000', '000001'))
    second['timestamp'] += 0.1
    second['images']['CAM2']['timestamp'] += 0.1
    return [copy.deepcopy(INFO), dict(second, sample_idx=1)]


def write_kitti(root: Path, suffix: str = '.png') -> Path:
    """Two frames in the layout of KITTI's object set, and their info file."""
    files: dict[str, str | bytes] = {'ImageSets/train.txt': '000000\n000001\n'}
    for seed, name in enumerate(('000000', '000001')):
        files[f'training/velodyne/{name}.bin'] = points(seed=seed).tobytes()
        files[f'training/image_2/{name}{suffix}'] = picture(suffix)
        files[f'training/calib/{name}.txt'] = CALIBRATION
    files['infos.pkl'] = pickle.dumps(dict(metainfo={}, data_list=info_frames()))
    return write(root, files)


def write_raw(root: Path) -> Path:
    """Two drives of two frames in the layout of KITTI's raw data."""
    files: dict[str, str | bytes] = {'2011_09_26/calib_cam_to_cam.txt': CAM_TO_CAM,
                                     '2011_09_26/calib_velo_to_cam.txt': VELO_TO_CAM}
    for drive in ('2011_09_26/2011_09_26_drive_0001_sync', '2011_09_26/2011_09_26_drive_0002_sync'):
        files[f'{drive}/velodyne_points/timestamps.txt'] = times_text()
        for number in range(2):
            files[f'{drive}/velodyne_points/data/{number:010d}.bin'] = points(seed=number).tobytes()
            for camera in ('image_02', 'image_03'):
                files[f'{drive}/{camera}/data/{number:010d}.png'] = picture()
    return write(root, files)


def write_odometry(root: Path) -> Path:
    """A sequence of two frames in the layout of KITTI's odometry set."""
    files: dict[str, str | bytes] = {'sequences/00/calib.txt': ODOMETRY,
                                     'sequences/00/times.txt': '0.000000e+00\n1.037359e-01\n'}
    for number in range(2):
        files[f'sequences/00/velodyne/{number:06d}.bin'] = points(seed=number).tobytes()
        for camera in ('image_2', 'image_3'):
            files[f'sequences/00/{camera}/{number:06d}.png'] = picture()
    return write(root, files)


def write_waymo(root: Path, with_infos: bool) -> Path:
    """Two frames in the layout of mmdet3d's Waymo converter, with calibration files or, as 1.4 does, with infos."""
    files: dict[str, str | bytes] = {}
    frames = []
    for seed, name in enumerate(('0000000', '0000001')):
        files[f'training/velodyne/{name}.bin'] = points(6, seed).tobytes()
        for camera in range(5):
            files[f'training/image_{camera}/{name}.jpg'] = picture('.jpg')
        lines = [line for camera in range(5) for line in (
            f'P{camera}: 40 0 20 0 0 40 10 0 0 0 1 0', f'Tr_velo_to_cam_{camera}: 0 -1 0 0 0 0 -1 -0.1 1 0 0 -0.3')]
        if not with_infos:
            files[f'training/calib/{name}.txt'] = '\n'.join([*lines, 'R0_rect: 1 0 0 0 1 0 0 0 1', ''])
            files[f'training/timestamp/{name}.txt'] = str(1550083467346370 + seed * 100000)
        frames.append(waymo_info(name, 1550083467346370 + seed * 100000))
    if with_infos:
        files['waymo_infos_train.pkl'] = pickle.dumps(dict(metainfo={}, data_list=frames))
    return write(root, files)


def waymo_info(name: str, timestamp: int) -> dict:
    """A frame of mmdet3d's info file of Waymo."""
    cameras = ('CAM_FRONT', 'CAM_FRONT_LEFT', 'CAM_FRONT_RIGHT', 'CAM_SIDE_LEFT', 'CAM_SIDE_RIGHT')
    return dict(sample_idx=int(name), timestamp=timestamp, lidar_points=dict(lidar_path=f'{name}.bin'),
                images={camera: dict(img_path=f'{name}.jpg', cam2img=CAM2IMG, lidar2cam=LIDAR2CAM)
                        for camera in cameras})


def tables() -> dict[str, list[dict]]:
    """nuScenes' tables of one scene with two samples, and one camera."""
    sensors = {'LIDAR_TOP': ('lidar', []), 'CAM_FRONT': ('camera', [row[:3] for row in CAM2IMG[:3]])}
    record = {'scene': [dict(token='scene', name='scene-0061', first_sample_token='sample0')], 'sample': [],
              'sample_data': [], 'ego_pose': [], 'calibrated_sensor': [], 'sensor': []}
    for channel, (modality, intrinsics) in sensors.items():
        rotation = [1, 0, 0, 0] if modality == 'lidar' else [0.5, -0.5, 0.5, -0.5]
        record['sensor'].append(dict(token=f'sensor {channel}', channel=channel, modality=modality))
        record['calibrated_sensor'].append(dict(token=f'calibrated {channel}', sensor_token=f'sensor {channel}',
                                                translation=[1.0, 0, 1.5], rotation=rotation,
                                                camera_intrinsic=intrinsics))
    for number in range(2):
        record['sample'].append(dict(token=f'sample{number}', next='' if number else 'sample1'))
        for channel, (modality, _) in sensors.items():
            time = 1532402927647951 + 500000 * number
            suffix, size = ('png', IMAGE_SIZE) if modality == 'camera' else ('pcd.bin', (0, 0))
            token = f'{channel} {number}'
            record['ego_pose'].append(dict(token=token, translation=[number, 0, 0], rotation=[1, 0, 0, 0]))
            record['sample_data'].append(dict(
                token=token, next='' if number else f'{channel} 1', sample_token=f'sample{number}', timestamp=time,
                calibrated_sensor_token=f'calibrated {channel}', ego_pose_token=token, is_key_frame=True,
                filename=f'samples/{channel}/{number}.{suffix}', height=size[0], width=size[1]))
    return record


def write_nuscenes(root: Path, changed: dict[str, list] | None = None) -> Path:
    """A scene of two samples in nuScenes' layout."""
    files: dict[str, str | bytes] = {f'v1.0-mini/{name}.json': json.dumps(records)
                                     for name, records in (changed or tables()).items()}
    for number in range(2):
        files[f'samples/LIDAR_TOP/{number}.pcd.bin'] = points(5, number).tobytes()
        files[f'samples/CAM_FRONT/{number}.png'] = picture()
    return write(root, files)


def times_text() -> str:
    return '2011-09-26 13:02:25.951199337\n2011-09-26 13:02:26.951199337\n'


def pcd_bytes(kind: str = 'binary') -> bytes:
    values = points()
    body = values.tobytes()
    if kind == 'ascii':
        body = '\n'.join(' '.join(map(str, row)) for row in values.tolist()).encode()
    elif kind == 'binary_compressed':
        columns = np.ascontiguousarray(values.T).tobytes()
        literal = b''.join(bytes([len(run) - 1]) + run for run in
                           (columns[start:start + 32] for start in range(0, len(columns), 32)))
        body = np.array([len(literal), len(columns)], '<u4').tobytes() + literal
    return (f'# .PCD v0.7\nVERSION 0.7\nFIELDS x y z intensity\nSIZE 4 4 4 4\nTYPE F F F F\nCOUNT 1 1 1 1\nWIDTH 100\n'
            f'HEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS 100\nDATA {kind}\n').encode() + body


def ply_bytes(kind: str = 'binary_little_endian') -> bytes:
    values = points()
    body = values.tobytes()
    if kind == 'ascii':
        body = '\n'.join(' '.join(map(str, row)) for row in values.tolist()).encode() + b'\n'
    header = ''.join(f'property float {name}\n' for name in ('x', 'y', 'z', 'intensity'))
    return f'ply\nformat {kind} 1.0\nelement vertex 100\n{header}end_header\n'.encode() + body


def npy_bytes(array: np.ndarray | None = None) -> bytes:
    stream = io.BytesIO()
    np.save(stream, points() if array is None else array)
    return stream.getvalue()


def npz_bytes() -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **dict(zip(('x', 'y', 'z', 'intensity'), points().T)))
    return stream.getvalue()


def las_bytes() -> bytes:
    import laspy
    las = laspy.LasData(laspy.LasHeader(point_format=0, version='1.2'))
    las.x, las.y, las.z = points()[:, :3].astype(np.float64).T
    las.intensity = np.arange(100)
    stream = io.BytesIO()
    las.write(stream)
    return stream.getvalue()


# Seeds of coverage_guided.py, by its targets.


def calibration() -> list[bytes]:
    return [CALIBRATION.encode(), TRACKING.encode(), ODOMETRY.encode()]


def times() -> list[bytes]:
    return [times_text().encode()]


def frame_list() -> list[bytes]:
    return [b'000000\n000001\n', b'0, a\n1, b\n', 'training\\velodyne\\000000.bin\n'.encode('utf-16')]


def json_lines() -> list[bytes]:
    return [json.dumps(OWN_FRAME).encode() + b'\n']


def nuscenes_tables() -> list[bytes]:
    return [json.dumps(tables()).encode()]


def infos() -> list[bytes]:
    content = dict(metainfo=dict(a=1), data_list=info_frames()[:1])
    arrays = copy.deepcopy(content)
    arrays['data_list'][0]['images']['CAM2'].update(lidar2img=np.array(LIDAR2IMG), height=np.int32(20))
    arrays['data_list'][0]['objects'] = np.array([dict(a=1), 'b'], dtype=object)
    arrays['data_list'][0]['names'] = np.array(['a', 'b'])
    return [pickle.dumps(value, protocol) for value in (content, arrays) for protocol in (2, 4, 5)]


def pcd() -> list[bytes]:
    return [pcd_bytes(kind) for kind in ('ascii', 'binary', 'binary_compressed')]


def ply() -> list[bytes]:
    return [ply_bytes('ascii'), ply_bytes()]


def npy() -> list[bytes]:
    return [npy_bytes()]


def numbers() -> list[bytes]:
    return [points().tobytes()]


def image() -> list[bytes]:
    return [picture('.png'), picture('.jpg'), picture('.bmp'), picture('.png', np.uint16)]
