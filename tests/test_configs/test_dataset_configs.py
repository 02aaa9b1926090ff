"""The configs of each data set on small synthetic or made-up folders: data loading, mixing, a step."""
import copy
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmcv.transforms import Compose
from mmdet3d.registry import MODELS, TRANSFORMS
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from simipu.datasets.converters import create_nuscenes_infos, write_infos
from simipu.scenes import generate_nuscenes_dataset

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
# LiDAR x forward, y left, z up to camera x right, y down, z forward.
TO_CAMERA = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])


@pytest.mark.parametrize('name', sorted(path.name for path in CONFIGS.glob('simipu_*.py')
                                        if '-only_' not in path.name))  # which pair no points
def test_default_configs_pair_each_sampled_point_with_itself(name):
    """No assignment on the CPU in every step; the second view then has to keep the order of points."""
    cfg = Config.fromfile(CONFIGS / name)
    assert cfg.model.matcher == dict(type='IndexMatcher')
    dataset = cfg.train_dataloader.dataset
    for part in dataset.get('datasets', [dataset]):
        step, = (step for step in part.pipeline if step.type == 'PointCloudSecondView')
        assert not TRANSFORMS.build(step).shuffle


@pytest.fixture(autouse=True)
def mmdet3d_scope():
    with DefaultScope.overwrite_default_scope('mmdet3d'):
        yield


@pytest.fixture(scope='module')
def nuscenes(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp('nuscenes') / 'data'
    generate_nuscenes_dataset(root, 9, seed=1, image_size=(160, 90), num_workers=1)
    create_nuscenes_infos(root, root, 'v1.0-mini', num_workers=1)
    return root


@pytest.fixture(scope='module')
def made_up(tmp_path_factory):
    """A function that makes a folder with given cameras (name: size) and values per point."""

    def make(cameras: dict, num_feats: int) -> Path:
        root = tmp_path_factory.mktemp('made_up')
        rng = np.random.default_rng(0)
        frames = []
        for number in range(4):
            points = rng.uniform(-1, 1, (3000, num_feats)) * ([30, 20, 1] + [1] * (num_feats - 3))
            points.astype(np.float32).tofile(root / f'{number}.bin')
            images = {}
            for name, (width, height) in cameras.items():
                picture = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
                cv2.imwrite(str(root / f'{name}_{number}.png'), picture)
                intrinsics = np.array([[width / 2, 0, width / 2], [0, width / 2, height / 2],
                                       [0, 0, 1]])
                images[name] = dict(img_path=f'{name}_{number}.png', cam2img=intrinsics,
                                    lidar2cam=TO_CAMERA)
            frames.append(dict(lidar_points=dict(lidar_path=f'{number}.bin',
                                                 num_pts_feats=num_feats), images=images))
        write_infos(frames, root / 'simipu_infos_train.pkl', root)
        write_infos(frames[:1], root / 'simipu_infos_val.pkl', root)
        return root

    return make


@pytest.fixture(scope='module')
def kitti_raw(made_up) -> Path:
    return made_up(dict(CAM2=(124, 38), CAM3=(122, 37)), 4)


@pytest.fixture(scope='module')
def waymo(made_up) -> Path:
    return made_up({f'CAM_{i}': (96, 64 if i < 3 else 44) for i in range(5)}, 6)


def small(name: str, root: Path) -> Config:
    """The config on ``root``, with few points and small images, in this process."""
    cfg = Config.fromfile(CONFIGS / name)
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.update(num_workers=0, persistent_workers=False, batch_size=2)
        for dataset in loader.dataset.get('datasets', [loader.dataset]):
            dataset.data_root = str(root)
            shrink(dataset.pipeline)
    return cfg


def shrink(pipeline: list) -> None:
    for transform in pipeline:
        if transform['type'] == 'SamplePoints':
            transform['num_points'] = 1024
        elif transform['type'] == 'ResizeImages':
            sizes = np.array(transform['scale']) // 8
            transform['scale'] = [tuple(map(int, size)) for size in sizes.reshape(-1, 2)]
            if len(transform['scale']) == 1:
                transform['scale'] = transform['scale'][0]
        elif transform['type'] == 'CropImages':
            transform['size'] = tuple(side // 8 for side in transform['size'])


def batches(cfg: Config, loader: str, number: int = 1, seed: int = 0) -> list:
    """Preprocessed batches of a loader as the Runner builds it."""
    built = Runner.build_dataloader(cfg[loader], seed=seed)
    preprocessor = MODELS.build(cfg.model.data_preprocessor)
    return [preprocessor(batch) for batch, _ in zip(built, range(number))]


@pytest.mark.parametrize('name, folder, train_cameras, val_cameras, columns', [
    ('16xb2-100e_nuscenes', 'nuscenes', 3, 6, 4), ('16xb2-100e_kitti-raw', 'kitti_raw', 2, 2, 4),
    ('16xb2-100e_waymo', 'waymo', 3, 5, 4)])
def test_loads(name, folder, train_cameras, val_cameras, columns, request):
    cfg = small(f'simipu_r50_{name}.py', request.getfixturevalue(folder))
    train, = batches(cfg, 'train_dataloader')
    val, = batches(cfg, 'val_dataloader')
    for batch, frames, cameras in ((train, 2, train_cameras), (val, 1, val_cameras)):
        assert batch['inputs']['points'].shape == (frames, 1024, columns)
        assert batch['inputs']['imgs'].shape[:3] == (frames, cameras, 3)
        assert all(sample.lidar2img.shape == (cameras, 4, 4) for sample in batch['data_samples'])
    if folder == 'waymo':  # side cameras are less high than the others
        assert len({shape[0] for shape in val['data_samples'][0].img_shape}) == 2


@pytest.fixture
def mixed(nuscenes, kitti_raw) -> Config:
    cfg = small('simipu_r50_8xb4-100e_kitti-raw-nuscenes.py', nuscenes)
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.dataset.datasets[0].data_root = str(kitti_raw)
    return cfg


@pytest.fixture(params=['mixed', '16xb2-100e_nuscenes', '8xb4-100e_kitti', '16xb2-100e_waymo'])
def each(request) -> Config:
    if request.param == 'mixed':
        return request.getfixturevalue('mixed')
    folder = request.param.rpartition('_')[2].replace('kitti', 'kitti_raw')
    return small(f'simipu_r50_{request.param}.py', request.getfixturevalue(folder))


def test_every_validation_samples_the_same_points(each):
    """Whatever the seed of the run, and whatever was drawn before."""
    first, second = (batches(each, 'val_dataloader', seed=seed)[0]['inputs']['points']
                     for seed in (0, 1))
    assert torch.equal(first, second)


@pytest.mark.parametrize('name, sizes', [
    ('8xb4-100e_kitti', [(1242, 375)]), ('16xb2-100e_kitti-raw', [(1242, 375)]), ('16xb2-100e_nuscenes', [(1600, 900)]),
    ('16xb2-100e_waymo', [(1920, 1280)]), ('8xb4-100e_kitti-raw-nuscenes', [(1242, 375), (1600, 900)])])
def test_validation_is_at_a_scale_that_is_trained(name, sizes):
    """Images of the sets' real sizes, as training and validation resize and crop them."""
    cfg = Config.fromfile(CONFIGS / f'simipu_r50_{name}.py')

    def factors(loader: dict, number: int, size: tuple[int, int]) -> tuple[set, int]:
        """How much the images are scaled, in 40 draws, and their largest area."""
        np.random.seed(0)
        pipeline = loader.dataset.get('datasets', [loader.dataset])[number].pipeline
        steps = Compose([step for step in pipeline if step.type in ('ResizeImages', 'CropImages')])
        results = [steps(dict(img=[np.zeros((size[1], size[0], 3), np.uint8)], img_shape=[None],
                              img_aug_matrix=[np.eye(4)])) for _ in range(40)]
        return ({float(result['img_aug_matrix'][0][0, 0]) for result in results},
                max(np.prod(result['img_shape'][0]) for result in results))

    for number, size in enumerate(sizes):
        (train, train_area), (val, val_area) = (
            factors(loader, number, size) for loader in (cfg.train_dataloader, cfg.val_dataloader))
        assert all(0.95 * min(train) <= factor <= 1.05 * max(train) for factor in val), (train, val)
        assert val_area <= train_area


def test_mixed_batches_hold_frames_of_both_sets(mixed):
    cameras = [sample.cam_names for batch in batches(mixed, 'train_dataloader', 6)
               for sample in batch['data_samples']]
    of_kitti = [names == ['CAM2', 'CAM3'] for names in cameras]
    assert len(cameras) == 12 and of_kitti.count(True) == 6
    # Both kinds in one batch, at least once in six.
    assert any(a != b for a, b in zip(of_kitti[::2], of_kitti[1::2]))
    for batch in batches(mixed, 'val_dataloader', 3):
        assert batch['inputs']['imgs'].shape[1] == 2


def test_mixed_step(mixed):
    """A training step on a batch of both; the small model of simipu_synthetic, in the mixed form."""
    model_cfg = copy.deepcopy(Config.fromfile(CONFIGS / 'simipu_synthetic.py').model)
    model_cfg.point_encoder.in_channels = mixed.model.point_encoder.in_channels
    model_cfg.update(occlusion=mixed.model.occlusion, max_pairs_per_frame=64)
    model = MODELS.build(model_cfg)
    batch = next(batch for batch in batches(mixed, 'train_dataloader', 6) if len(
        {sample.cam_names[0].startswith('CAM_') for sample in batch['data_samples']}) == 2)
    losses = model(batch['inputs'], batch['data_samples'], mode='loss')
    loss, _ = model.parse_losses(losses)
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters()
               if parameter.grad is not None)
