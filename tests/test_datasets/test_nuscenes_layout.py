"""Synthetic nuScenes and its converter against nuscenes-devkit and mmdet3d."""
import json
import shutil
import sys
from functools import partial
from pathlib import Path

import mmdet3d
import mmengine
import numpy as np
import pytest
from mmcv.ops import points_in_boxes_cpu
from mmdet3d.datasets import NuScenesDataset
from nuscenes.nuscenes import NuScenes

from simipu.datasets import PairedDataset
from simipu.datasets.converters import Subset, create_nuscenes_infos
from simipu.datasets.converters.nuscenes import CAMERAS
from simipu.errors import DataError
from simipu.scenes import generate_nuscenes_dataset
from simipu.scenes.nuscenes_writer import scene_name

SIZE = (96, 54)
create_mini_infos = partial(create_nuscenes_infos, version='v1.0-mini')


@pytest.fixture(scope='module')
def made(tmp_path_factory) -> Path:
    """Eight key frames of one scene for training, one of another for validation, and 7 sweeps."""
    folder = tmp_path_factory.mktemp('nuscenes') / 'made'
    assert generate_nuscenes_dataset(folder, 9, seed=3, image_size=SIZE, num_workers=1,
                                     sweeps=1) == 'v1.0-mini'
    return folder


@pytest.fixture(scope='module')
def devkit(made) -> NuScenes:
    return NuScenes(version='v1.0-mini', dataroot=str(made), verbose=False)


@pytest.fixture(scope='module')
def infos(made, tmp_path_factory) -> dict:
    written = create_mini_infos(made, tmp_path_factory.mktemp('infos'), sweeps=1)
    return {split.info_file.stem[len('simipu_infos_'):]: frames_of(split) for split in written}


def frames_of(split) -> list:
    return mmengine.load(split.info_file)['data_list']


def contents(folder: Path) -> dict:
    return {str(path.relative_to(folder)): path.read_bytes()
            for path in folder.rglob('*') if path.is_file()}


def read_points(path) -> np.ndarray:
    return np.fromfile(path, np.float32).reshape(-1, 5)


def project(points: np.ndarray, lidar2img) -> np.ndarray:
    """Pixels and depth (N, 3)."""
    projected = np.insert(points[:, :3].astype(float), 3, 1, axis=1) @ np.array(lidar2img).T
    return np.c_[projected[:, :2] / projected[:, 2:3], projected[:, 2]]


def test_tables_are_consistent(devkit, made):
    assert [scene['name'] for scene in devkit.scene] == ['scene-0061', 'scene-0103']
    assert [scene['nbr_samples'] for scene in devkit.scene] == [8, 1]
    assert len(devkit.sample_data) == 7 * (8 + 7 + 1) and len(devkit.sample_annotation) > 5
    for record in devkit.sample_data:
        assert (made / record['filename']).is_file()
    for instance in devkit.instance:
        token, count = instance['first_annotation_token'], 0
        while token:
            annotation = devkit.get('sample_annotation', token)
            token, last, count = annotation['next'], token, count + 1
        assert (last, count) == (instance['last_annotation_token'], instance['nbr_annotations'])
    # Each sensor has a clock of its own, and the vehicle moves between their ticks.
    sample = devkit.get('sample', devkit.scene[0]['first_sample_token'])
    records = [devkit.get('sample_data', token) for token in sample['data'].values()]
    assert len({record['timestamp'] for record in records}) == 7
    poses = [devkit.get('ego_pose', record['ego_pose_token'])['translation'] for record in records]
    assert 0.03 < np.ptp(poses, axis=0).max() < 0.5


def test_annotated_boxes_hold_the_points_they_count(devkit, made):
    """The boxes by the devkit's poses, the points by the file: that ties both to one world."""
    for sample in devkit.sample:
        path, boxes, _ = devkit.get_sample_data(sample['data']['LIDAR_TOP'])
        points = read_points(path)[:, :3]
        for box in boxes:
            expected = devkit.get('sample_annotation', box.token)['num_lidar_pts']
            local = (points - box.center) @ box.rotation_matrix
            width, length, height = box.wlh
            # Range noise of a few centimetres puts some points just outside.
            inside = (np.abs(local) < np.array([length, width, height]) / 2 + 0.1).all(1)
            assert 0.9 * expected <= inside.sum()


def test_projection_is_that_of_the_devkit(devkit, made, infos):
    checked = 0
    for frame in infos['train']:
        if not any(sample['token'] == frame['token'] for sample in devkit.sample):
            continue
        data = devkit.get('sample', frame['token'])['data']
        points = read_points(made / frame['lidar_points']['lidar_path'])
        for camera, image in frame['images'].items():
            theirs, depth, _ = devkit.explorer.map_pointcloud_to_image(
                data['LIDAR_TOP'], data[camera], min_dist=1.0)
            ours = project(points, image['lidar2img'])
            # The devkit's own limits of what is in the image.
            seen = (ours[:, 2] > 1) & (ours[:, :2] > 1).all(1) & (ours[:, :2] < np.array(SIZE) - 1).all(1)
            assert abs(seen.sum() - theirs.shape[1]) <= 1
            if seen.sum() == theirs.shape[1]:
                np.testing.assert_allclose(ours[seen, :2], theirs[:2].T, atol=0.05)
                np.testing.assert_allclose(ours[seen, 2], depth, rtol=1e-3)
                checked += seen.sum()
    assert checked > 5000


def test_ego_motion_is_in_lidar2img(devkit, infos):
    """Without it, the pixels of near points move by more than the tolerance above."""
    frame = infos['train'][0]
    lidar, camera = (devkit.get('sample_data', devkit.get('sample', frame['token'])['data'][sensor])
                     for sensor in ('LIDAR_TOP', 'CAM_FRONT_LEFT'))
    rigid = np.eye(4)
    for record, step in ((lidar, 1), (camera, -1)):
        sensor = devkit.get('calibrated_sensor', record['calibrated_sensor_token'])
        from nuscenes.utils.geometry_utils import transform_matrix
        from pyquaternion import Quaternion
        pose = transform_matrix(sensor['translation'], Quaternion(sensor['rotation']))
        rigid = (pose if step > 0 else np.linalg.inv(pose)) @ rigid
    assert np.linalg.norm((rigid - np.array(frame['images']['CAM_FRONT_LEFT']['lidar2cam']))[:3, 3]) > 0.03


def test_cloud_and_image_show_the_same_world(made, infos):
    """What the LiDAR hit on an object is of that object's colour in the image, for all cameras.

    Checked by photometric consistency: neighbours in the image that belong to one beam and one depth
    differ less in colour than random pairs; a wrong ``lidar2img`` removes the difference.
    """
    import cv2

    def roughness(shift: float) -> float:
        differences = []
        for frame in infos['train'][::2]:
            points = read_points(made / frame['lidar_points']['lidar_path'])
            for image in frame['images'].values():
                picture = cv2.imread(str(made / image['img_path'])).astype(float)
                pixels = project(points, image['lidar2img'])
                pixels[:, 0] += shift
                edges = np.abs(np.diff(picture, axis=1)).sum(-1)
                jumps = np.abs(np.diff(pixels[:, 2])) > 3
                near = (np.abs(np.diff(points[:, 4])) == 0) & jumps & (pixels[:-1, 2] > 1)
                u, v = np.rint(pixels[:-1][near][:, :2].T).astype(int)
                ok = (u >= 1) & (u < SIZE[0] - 2) & (v >= 0) & (v < SIZE[1])
                u, v = u[ok], v[ok]
                differences.append(np.maximum(edges[v, u], edges[v, u - 1]))
        return np.concatenate(differences).mean()

    right = roughness(0)
    assert right > 1.1 * max(roughness(-4), roughness(4))


def test_sweeps_are_frames_with_the_nearest_images(devkit, infos, made, tmp_path):
    times = [frame['timestamp'] for frame in infos['train']]
    assert len(times) == 15 and np.allclose(np.diff(times), 0.25) and len(infos['val']) == 1
    for frame in infos['train']:
        kind = frame['lidar_points']['lidar_path'].split('/')[0]
        for camera, image in frame['images'].items():
            assert image['img_path'].startswith(f'{kind}/{camera}/')
            assert abs(image['timestamp'] - frame['timestamp']) < 0.05
    split = create_mini_infos(made, tmp_path)[0]
    assert [frame['token'] for frame in frames_of(split)] == [
        frame['token'] for frame in infos['train'][::2]]


def test_cameras_and_part_of_the_data(made, tmp_path):
    train, val = create_mini_infos(made, tmp_path, cameras=['CAM_BACK', 'CAM_FRONT'],
                                   subset=Subset(every=3, scenes=0.5))
    frames = frames_of(train)
    assert [round(frame['timestamp'] % 100, 1) for frame in frames] == [27.0, 28.5, 30.0]
    assert all(list(frame['images']) == ['CAM_BACK', 'CAM_FRONT'] for frame in frames)
    assert val.num_frames == 1


def test_info_file_becomes_a_batch_of_six_cameras(made, tmp_path):
    create_mini_infos(made, tmp_path)
    dataset = PairedDataset(
        str(tmp_path / 'simipu_infos_train.pkl'), data_root=str(made), pipeline=[
            dict(type='LoadPairedPoints', load_dim=5, use_dim=4), dict(type='LoadPairedImages'),
            dict(type='SamplePoints', num_points=512), dict(type='PointCloudSecondView'),
            dict(type='PackPairedInputs')])
    packed = dataset[2]
    assert [image.shape for image in packed['inputs']['img']] == [(3, SIZE[1], SIZE[0])] * 6
    assert packed['data_samples'].lidar2img.shape == (6, 4, 4)


def test_missing_scenes_are_reported_and_missing_files_named(made, tmp_path):
    part = tmp_path / 'part'
    shutil.copytree(made, part)
    for path in (part / 'samples/LIDAR_TOP').glob('*scene-0103*'):
        path.unlink()
    split, = create_mini_infos(part, tmp_path / 'infos')
    assert split.num_frames == 8 and 'scene-0103: no file samples/LIDAR_TOP' in split.left_out[0]
    next((part / 'samples/CAM_BACK').glob('*scene-0061*')).unlink()
    with pytest.raises(DataError, match='no file .*CAM_BACK.* scene-0061'):
        create_mini_infos(part, tmp_path / 'other')
    assert not any((tmp_path / 'other').iterdir())


@pytest.mark.parametrize('arguments, message', [
    (dict(version='v2'), "unknown version 'v2'; expected one of v1.0-mini"),
    (dict(version='v1.0-test'), 'v1.0-test is not a folder; expected the tables'),
    (dict(cameras=['CAM_UP']), 'expected cameras out of CAM_FRONT.*got CAM_UP'),
    (dict(subset=Subset(1, 1.0), sweeps=-1), '--sweeps >= 0'),
])
def test_bad_arguments(arguments, message, made, tmp_path):
    with pytest.raises(DataError, match=message):
        create_mini_infos(made, tmp_path, **arguments)


@pytest.fixture(scope='module')
def mmdet3ds(made, tmp_path_factory) -> Path:
    """A copy that mmdet3d's own create_data.py nuscenes has gone through, data base included."""
    home = tmp_path_factory.mktemp('mmdet3d')
    shutil.copytree(made, home / 'data/nuscenes')
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)  # its converter opens ./data/nuscenes whatever it is told
        patch.syspath_prepend(str(Path(mmdet3d.__file__).parent / '.mim'))
        patch.setattr(sys, 'argv', ['create_data.py', 'nuscenes'])  # parsed when imported
        from mmengine.registry import DefaultScope

        from tools import create_data
        with DefaultScope.overwrite_default_scope('mmdet3d'):
            create_data.nuscenes_data_prep('./data/nuscenes', 'nuscenes', 'v1.0-mini',
                                           'NuScenesDataset', './data/nuscenes')
    return home / 'data/nuscenes'


PREFIXES = dict(pts='samples/LIDAR_TOP', sweeps='sweeps/LIDAR_TOP',
                **{name: f'samples/{name}' for name in CAMERAS})


@pytest.mark.filterwarnings('ignore')
def test_mmdet3ds_converter_agrees(mmdet3ds, infos):
    """Its info file is read as it is, and holds the same calibration as ours."""
    theirs = PairedDataset('nuscenes_infos_train.pkl', data_root=str(mmdet3ds),
                           data_prefix=PREFIXES)
    key_frames = infos['train'][::2]
    assert len(theirs) == len(key_frames)
    points = np.random.default_rng(0).uniform([-30, -30, -2], [30, 30, 4], (500, 3))
    for index, frame in enumerate(key_frames):
        info = theirs.get_data_info(index)
        assert info['cam_names'] == list(frame['images'])
        assert info['lidar_path'] == str(mmdet3ds / frame['lidar_points']['lidar_path'])
        for path, matrix, image in zip(info['img_path'], info['lidar2img'],
                                       frame['images'].values()):
            assert path == str(mmdet3ds / image['img_path'])
            ours, expected = project(points, image['lidar2img']), project(points, matrix)
            ahead = ours[:, 2] > 1
            np.testing.assert_allclose(ours[ahead], expected[ahead], atol=0.05, rtol=1e-3)


@pytest.mark.filterwarnings('ignore')
def test_mmdet3ds_dataset_reads_frames_and_boxes(mmdet3ds):
    dataset = NuScenesDataset(
        data_root=str(mmdet3ds), ann_file='nuscenes_infos_train.pkl', data_prefix=PREFIXES,
        filter_empty_gt=False,
        pipeline=[dict(type='LoadPointsFromFile', coord_type='LIDAR', load_dim=5, use_dim=5)])
    boxes = 0
    for index in range(len(dataset)):
        frame = dataset[index]
        bboxes = frame['ann_info']['gt_bboxes_3d'].tensor[:, :7]  # without velocities
        counts = points_in_boxes_cpu(frame['points'].coord[None], bboxes[None])[0].sum(0).tolist()
        expected = [instance['num_lidar_pts'] for instance in frame['instances']]
        assert all(n >= 0.5 * e - 3 for n, e in zip(counts, expected) if e > 20)
        boxes += len(bboxes)
    assert boxes > 5 and (mmdet3ds / 'nuscenes_dbinfos_train.pkl').is_file()


def test_same_bytes_and_resumed(made, tmp_path):
    folder = tmp_path / 'two'
    generate_nuscenes_dataset(folder, 2, seed=3, image_size=SIZE, num_workers=2, sweeps=1)
    first, whole = contents(folder), contents(made)
    recordings = {name for name in first if name.startswith(('samples', 'sweeps'))}
    assert recordings and all(first[name] == whole[name] for name in recordings)
    kept = folder / sorted(recordings)[0]
    before = kept.stat().st_mtime_ns
    (folder / sorted(recordings)[-1]).unlink()
    generate_nuscenes_dataset(folder, 2, seed=3, image_size=SIZE, num_workers=1, sweeps=1)
    assert contents(folder) == first and kept.stat().st_mtime_ns == before
    assert len(json.loads((folder / 'v1.0-mini/sample.json').read_text())) == 2
    with pytest.raises(ValueError, match='other out_dir'):
        generate_nuscenes_dataset(folder, 2, seed=3, image_size=SIZE, sweeps=0)
    with pytest.raises(ValueError, match='expected 1 <= num_frames'):
        generate_nuscenes_dataset(tmp_path / 'none', 0)


def test_scene_names_are_split_by_nuscenes_own_lists():
    from nuscenes.utils import splits
    names = [scene_name(scene) for scene in range(700)]
    assert len(set(names)) == 700
    assert sorted(names[:10]) == sorted(splits.mini_train + splits.mini_val)
    mini = {scene: name in splits.mini_val for scene, name in enumerate(names[:10])}
    others = {scene: name in splits.val for scene, name in enumerate(names) if scene >= 10}
    assert {**mini, **others} == {scene: scene % 5 == 1 for scene in range(700)}
