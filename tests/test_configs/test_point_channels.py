"""What of a point reaches the encoder: intensity in 0..1 in every data set, or x, y, z alone."""
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmdet3d.registry import MODELS, TRANSFORMS
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from simipu.config.overriding import read_with_overrides
from simipu.datasets import PairedDataset
from simipu.datasets.converters import write_infos
from simipu.errors import ConfigError

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
NUSCENES_INFOS = 'n015-2018-07-24-11-22-45+0800.pkl'


@pytest.fixture(autouse=True)
def mmdet3d_scope():
    with DefaultScope.overwrite_default_scope('mmdet3d'):
        yield


def loading(name: str) -> list[dict]:
    """How a config's training and validation load clouds."""
    cfg = Config.fromfile(CONFIGS / '_base_' / 'datasets' / f'{name}.py')
    return [transform for pipeline in (cfg.train_pipeline, cfg.test_pipeline) for transform in pipeline
            if transform['type'] == 'LoadPairedPoints']


def test_nuscenes(real_data):
    """On a real sweep; unscaled, intensity is 99.9% of the variance of what SparseConvEncoder is given."""
    for transform in loading('nuscenes'):
        frame = PairedDataset(NUSCENES_INFOS, data_root=str(real_data / 'nuscenes'), pipeline=[transform])[0]
        points = frame['points'].tensor
        assert points[:, 3].min() >= 0 and 0.1 < points[:, 3].max() <= 1
        offsets = points[:, :3] / 0.2 % 1 - 0.5  # as the encoder has them
        variance = torch.cat([offsets, points[:, 3:]], dim=1).var(dim=0)
        assert variance[3] / variance.sum() < 0.5


def test_kitti(real_data):
    for transform in loading('kitti'):
        path = real_data / 'kitti/training/velodyne/000000.bin'
        intensity = TRANSFORMS.build(transform)(dict(lidar_path=str(path)))['points'].tensor[:, 3]
        assert intensity.min() >= 0 and 0.5 < intensity.max() <= 1


def test_waymo(tmp_path):
    """Its intensities have no upper bound."""
    rng = np.random.default_rng(0)
    points = rng.uniform([-50, -30, -1, 0, 0, 0], [50, 30, 2, 0, 1, 1], (2000, 6))
    points[:, 3] = rng.exponential(20, 2000)
    points.astype(np.float32).tofile(tmp_path / '0.bin')
    for transform in loading('waymo'):
        frame = dict(lidar_path=str(tmp_path / '0.bin'), lidar_format=dict(load_dim=6))
        found = TRANSFORMS.build(transform)(frame)['points'].tensor
        np.testing.assert_allclose(found[:, 3], np.tanh(points[:, 3]), atol=1e-6)
        assert found.shape == (2000, 4)


@pytest.fixture(params=['.bin', '.npy'])
def clouds_without_intensity(request, tmp_path) -> Path:
    rng = np.random.default_rng(0)
    cam2img, to_camera = np.array([[60., 0, 48], [0, 60, 24], [0, 0, 1]]), np.zeros((4, 4))
    to_camera[[0, 1, 2, 3], [1, 2, 0, 3]] = -1, -1, 1, 1
    frames = []
    for number in range(2):
        points = rng.uniform([3, -8, -1.5], [30, 8, 1], (3000, 3)).astype(np.float32)
        if request.param == '.bin':
            points.tofile(tmp_path / f'{number}.bin')
        else:
            np.save(tmp_path / f'{number}.npy', points)
        cv2.imwrite(str(tmp_path / f'{number}.png'), rng.integers(0, 256, (48, 96, 3), dtype=np.uint8))
        frames.append(dict(lidar_points=dict(lidar_path=f'{number}{request.param}', num_pts_feats=3),
                           images=dict(front=dict(img_path=f'{number}.png', cam2img=cam2img, lidar2cam=to_camera))))
    write_infos(frames, tmp_path / 'simipu_infos_train.pkl', tmp_path, num_workers=1)
    return tmp_path


def training_step(root: Path, **options) -> torch.Tensor:
    """The loss of one step of simipu_synthetic's model with these --cfg-options."""
    cfg = Config.fromfile(CONFIGS / 'simipu_synthetic.py')
    cfg.merge_from_dict({'train_dataloader.dataset.data_root': str(root), 'train_dataloader.num_workers': 0,
                         'train_dataloader.persistent_workers': False, 'train_dataloader.batch_size': 2, **options})
    batch = next(iter(Runner.build_dataloader(cfg.train_dataloader, seed=0)))
    model = MODELS.build(cfg.model)
    batch = model.data_preprocessor(batch)
    losses = model(batch['inputs'], batch['data_samples'], mode='loss')
    return model.parse_losses(losses)[0]


def test_clouds_of_x_y_z_train_by_the_option_that_the_message_names(clouds_without_intensity):
    with pytest.raises(ConfigError, match='set model.point_encoder.in_channels=3 .x, y, z; the clouds have no inten'):
        training_step(clouds_without_intensity)
    assert torch.isfinite(training_step(clouds_without_intensity, **{'model.point_encoder.in_channels': 3}))


@pytest.mark.parametrize('name', ['kitti', 'kitti-raw', 'nuscenes', 'waymo'])
def test_options_of_reading_reach_every_pipeline(name):
    path, = CONFIGS.glob(f'simipu_r50_*-100e_{name}.py')
    cfg = read_with_overrides(path, {'load_images.bit_depth': 12, 'load_points.dtype': '<f8'})
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        images, = (step for step in loader.dataset.pipeline if step['type'] == 'LoadPairedImages')
        points, = (step for step in loader.dataset.pipeline if step['type'] == 'LoadPairedPoints')
        assert images['bit_depth'] == 12 and points['dtype'] == '<f8'
