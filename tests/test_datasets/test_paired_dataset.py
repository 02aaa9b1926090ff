"""PairedDataset on real frames and on info files that lack something."""
import shutil
import sys

import mmengine
import numpy as np
import pytest
from mmengine.dataset import pseudo_collate

from simipu.datasets import PairedDataset
from simipu.datasets.converters import create_kitti_infos
from simipu.errors import DataError
from simipu.models.data_preprocessor import PairedDataPreprocessor

NUSCENES_INFOS = 'n015-2018-07-24-11-22-45+0800.pkl'
NUSCENES_CAMERAS = ['CAM_FRONT', 'CAM_FRONT_RIGHT', 'CAM_FRONT_LEFT', 'CAM_BACK', 'CAM_BACK_LEFT',
                    'CAM_BACK_RIGHT']


def pipeline(load_dim: int, point_range: list) -> list:
    return [
        dict(type='LoadPairedPoints', load_dim=load_dim, use_dim=4),
        dict(type='LoadPairedImages'),
        dict(type='PairedPointsRangeFilter', point_cloud_range=point_range),
        dict(type='SamplePoints', num_points=2048),
        dict(type='PointCloudSecondView'),
        dict(type='ResizeImages', scale=[(320, 96), (640, 200)]),
        dict(type='CropImages', size=(300, 90)),
        dict(type='FlipImages'),
        dict(type='PhotometricDistortImages'),
        dict(type='PackPairedInputs'),
    ]


@pytest.fixture
def kitti(real_data, tmp_path) -> PairedDataset:
    create_kitti_infos(real_data / 'kitti', tmp_path)
    return PairedDataset(str(tmp_path / 'simipu_infos_train.pkl'),
                         data_root=str(real_data / 'kitti'),
                         pipeline=pipeline(4, [0, -40, -3, 70.4, 40, 1]))


@pytest.fixture
def nuscenes(real_data) -> PairedDataset:
    return PairedDataset(NUSCENES_INFOS, data_root=str(real_data / 'nuscenes'),
                         pipeline=pipeline(5, [-50, -50, -5, 50, 50, 3]))


@pytest.mark.parametrize('name, num_cameras', [('kitti', 1), ('nuscenes', 6)])
def test_real_frames_become_a_batch(name, num_cameras, request):
    dataset = request.getfixturevalue(name)
    batch = PairedDataPreprocessor()(pseudo_collate([dataset[i] for i in range(len(dataset))]))
    inputs, frames = batch['inputs'], len(dataset)
    assert inputs['points'].shape == inputs['points_aug'].shape == (frames, 2048, 4)
    assert inputs['imgs'].shape[:3] == (frames, num_cameras, 3)
    assert all(len(sample.cam_names) == num_cameras for sample in batch['data_samples'])


def test_mmdet3ds_nuscenes_infos_are_read_as_they_are(nuscenes):
    """Box centres by ``lidar2img`` against those that nuScenes' own devkit gave in each camera."""
    raw, = mmengine.load(nuscenes.ann_file)['data_list']
    frame = nuscenes.get_data_info(0)
    assert frame['cam_names'] == NUSCENES_CAMERAS and frame['img_size'] == [None] * 6
    centres = np.array([box['bbox_3d'][:3] for box in raw['instances']])
    homogeneous = np.insert(centres, 3, 1, axis=1)
    for camera, lidar2img in zip(frame['cam_names'], frame['lidar2img']):
        projected = homogeneous @ lidar2img.T
        expected = [[*box['center_2d'], box['depth']] for box in raw['cam_instances'][camera]]
        found = np.c_[projected[:, :2] / projected[:, 2:3], projected[:, 2]]
        distances = np.abs(np.array(expected)[:, None] - found).max(-1)
        assert distances.min(1).max() < 0.5


def test_cameras_are_chosen_and_ordered_by_name(real_data):
    wanted = ['CAM_BACK', 'CAM_FRONT']
    both = PairedDataset(NUSCENES_INFOS, data_root=str(real_data / 'nuscenes'), cameras=wanted)[0]
    every = PairedDataset(NUSCENES_INFOS, data_root=str(real_data / 'nuscenes'))[0]
    rows = [every['cam_names'].index(name) for name in wanted]
    assert both['cam_names'] == wanted
    assert both['img_path'] == [every['img_path'][row] for row in rows]
    np.testing.assert_array_equal(both['lidar2img'], every['lidar2img'][rows])


def test_mmdet3ds_kitti_infos_with_bare_names_and_prefixes(tiny_kitti, tmp_path):
    """Cameras without an image (mmdet3d lists four, of which only CAM2 has one) are left out."""
    infos = dict(metainfo={}, data_list=[dict(
        sample_idx=0, instances=[], lidar_points=dict(lidar_path='000000.bin', num_pts_feats=4),
        images=dict(CAM0=dict(cam2img=np.eye(4)),
                    CAM2=dict(img_path='000000.png', height=20, width=40, lidar2img=np.eye(4))))])
    mmengine.dump(infos, tmp_path / 'infos.pkl')

    def paths(**prefix) -> list:
        frame = PairedDataset(str(tmp_path / 'infos.pkl'), data_root='/d', data_prefix=prefix,
                              lazy_init=True).parse_data_info(infos['data_list'][0])
        return [frame['lidar_path'], *frame['img_path']]

    assert paths(pts='training/velodyne', img='training/image_2') == [
        '/d/training/velodyne/000000.bin', '/d/training/image_2/000000.png']
    assert paths(pts='velodyne_reduced', CAM2='left', img='any') == [
        '/d/velodyne_reduced/000000.bin', '/d/left/000000.png']


opened_files = None  # a list while files are recorded; hooks cannot be removed


def _record_open(event: str, arguments: tuple) -> None:
    if event == 'open' and opened_files is not None:
        opened_files.append(str(arguments[0]))


@pytest.fixture
def recorded_opens():
    global opened_files
    sys.addaudithook(_record_open)
    opened_files = []
    yield opened_files
    opened_files = None


def test_no_label_file_is_opened(real_data, tmp_path, recorded_opens):
    """From raw folder to batch, with Python's audit hook on every file opened."""
    root = real_data / 'kitti'
    assert (root / 'training/label_2').is_dir()
    create_kitti_infos(root, tmp_path)
    dataset = PairedDataset(str(tmp_path / 'simipu_infos_train.pkl'), data_root=str(root),
                            pipeline=pipeline(4, [0, -40, -3, 70.4, 40, 1]))
    assert [dataset[i] for i in range(4)]
    kinds = {path.split('/')[-2] for path in recorded_opens if path.startswith(str(root))}
    assert kinds == {'ImageSets', 'calib', 'image_2', 'velodyne'}


def edit_first_frame(info_file, edit) -> None:
    infos = mmengine.load(info_file)
    edit(infos['data_list'][0])
    mmengine.dump(infos, info_file)


@pytest.mark.parametrize('edit, message', [
    (lambda frame: frame.pop('lidar_points'),
     r'frame 0 of .*train.pkl: no lidar_points.lidar_path'),
    (lambda frame: frame.pop('images'), r'frame 0 of .*train.pkl: no image of any camera'),
    (lambda frame: [frame['images']['CAM2'].pop(key) for key in ('lidar2img', 'cam2img')],
     r'frame 0 of .*, camera CAM2: expected lidar2img, or cam2img and lidar2cam; found img_path'),
    (lambda frame: frame['images']['CAM2'].update(lidar2img=np.full((4, 4), np.nan)),
     'camera CAM2: lidar2img holds NaN'),
    (lambda frame: frame['images']['CAM2'].update(lidar2img=1e-300 * np.eye(3)), 'lidar2img, scaled to give metres,'),
    (lambda frame: frame['images']['CAM2'].update(lidar2img=np.eye(2)),
     r'camera CAM2: lidar2img: expected a 3x3, 3x4 or 4x4 matrix, got shape \(2, 2\)'),
])
def test_lacking_fields_are_named(edit, message, tiny_kitti):
    split, = create_kitti_infos(tiny_kitti, tiny_kitti)
    edit_first_frame(split.info_file, edit)
    with pytest.raises(DataError, match=message):
        PairedDataset('simipu_infos_train.pkl', data_root=str(tiny_kitti))


def test_missing_root_info_file_and_camera_are_named(tiny_kitti):
    create_kitti_infos(tiny_kitti, tiny_kitti)
    with pytest.raises(DataError, match='data_root .*/nowhere is not a folder'):
        PairedDataset('simipu_infos_train.pkl', data_root=str(tiny_kitti / 'nowhere'))
    with pytest.raises(DataError, match='no info file .*simipu_infos_val.pkl; .*simipu create-data'):
        PairedDataset('simipu_infos_val.pkl', data_root=str(tiny_kitti))
    with pytest.raises(DataError, match='no image of CAM3; cameras with an image: CAM2'):
        PairedDataset('simipu_infos_train.pkl', data_root=str(tiny_kitti), cameras=['CAM2', 'CAM3'])


@pytest.mark.parametrize('content', [[], dict(data_list=[])])
def test_old_or_empty_info_files_are_refused(content, tmp_path):
    mmengine.dump(content, tmp_path / 'infos.pkl')
    with pytest.raises(DataError, match='infos.pkl: expected a dict with a non-empty data_list'):
        PairedDataset('infos.pkl', data_root=str(tmp_path))


def test_files_that_vanished_are_named(tiny_kitti):
    create_kitti_infos(tiny_kitti, tiny_kitti)
    dataset = PairedDataset('simipu_infos_train.pkl', data_root=str(tiny_kitti),
                            pipeline=[dict(type='LoadPairedPoints'), dict(type='LoadPairedImages')])
    assert dataset[0]['points'].shape == (100, 4)
    shutil.rmtree(tiny_kitti / 'training/image_2')
    with pytest.raises(DataError, match='no file .*image_2/000000.png, which the info file names'):
        dataset[0]
    shutil.rmtree(tiny_kitti / 'training/velodyne')
    with pytest.raises(DataError, match='no file .*velodyne/000000.bin, which the info file names'):
        dataset[0]
