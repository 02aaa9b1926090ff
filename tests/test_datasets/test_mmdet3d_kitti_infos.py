"""The synthetic KITTI folder through mmdet3d's own create_data.py kitti, and what it wrote read by us."""
from pathlib import Path

import numpy as np
import pytest
from mmdet3d.datasets import KittiDataset

from simipu.datasets import PairedDataset
from simipu.datasets.converters import create_kitti_infos

SPLITS = {'train': 'training', 'val': 'training', 'trainval': 'training', 'test': 'testing'}
LOAD = dict(type='LoadPointsFromFile', coord_type='LIDAR', load_dim=4, use_dim=4)


@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('split', SPLITS)
def test_its_info_files_are_read_as_they_are(split, mmdet3d_kitti, tmp_path):
    """And hold the same calibration as ours, in single precision."""
    folder = SPLITS[split]
    theirs = PairedDataset(f'kitti_infos_{split}.pkl', data_root=str(mmdet3d_kitti),
                           data_prefix=dict(pts=f'{folder}/velodyne_reduced', img=f'{folder}/image_2'))
    create_kitti_infos(mmdet3d_kitti, tmp_path, splits=[split], clouds='velodyne_reduced')
    ours = PairedDataset(str(tmp_path / f'simipu_infos_{split}.pkl'), data_root=str(mmdet3d_kitti))
    assert len(theirs) == len(ours) > 0
    rng = np.random.default_rng(0)
    points = np.insert(rng.uniform([4, -20, -2], [70, 20, 4], (300, 3)), 3, 1, axis=1)
    for index in range(len(ours)):
        expected, found = theirs.get_data_info(index), ours.get_data_info(index)
        assert found['cam_names'] == expected['cam_names'] == ['CAM2']
        for key in ('img_path', 'lidar_path', 'img_size', 'lidar_format'):
            assert found[key] == expected[key]
        assert Path(found['lidar_path']).is_file()
        pixels = [(points @ info['lidar2img'][0].T) for info in (expected, found)]
        expected, found = (p[:, :2] / p[:, 2:3] for p in pixels)
        np.testing.assert_allclose(found, expected, atol=0.05)


@pytest.mark.filterwarnings('ignore')
def test_its_dataset_reads_frames_and_boxes(mmdet3d_kitti):
    dataset = KittiDataset(
        data_root=str(mmdet3d_kitti), ann_file='kitti_infos_trainval.pkl', filter_empty_gt=False,
        data_prefix=dict(pts='training/velodyne_reduced'), pipeline=[LOAD])
    boxes, clouds = 0, set()
    for index in range(len(dataset)):
        frame = dataset[index]
        # mmdet3d cut these clouds to what it thinks the camera sees: by our calibration files.
        full = mmdet3d_kitti / f'training/velodyne/{frame["sample_idx"]:06d}.bin'
        share = len(frame['points']) / (full.stat().st_size / 16)
        assert 0.05 < share < 0.5
        boxes += len(frame['ann_info']['gt_bboxes_3d'])
        clouds.add(frame['lidar_points']['lidar_path'])
    assert len(clouds) == 3 and boxes > 0
    assert (mmdet3d_kitti / 'kitti_dbinfos_train.pkl').is_file()
    test = KittiDataset(data_root=str(mmdet3d_kitti), ann_file='kitti_infos_test.pkl', test_mode=True,
                        data_prefix=dict(pts='testing/velodyne_reduced'), pipeline=[LOAD])
    assert len(test) == 1 and len(test[0]['points']) > 100
