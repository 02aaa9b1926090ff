"""A data set in which brightness tells depth, and a config with a tiny backbone."""
from collections.abc import Callable
from pathlib import Path

import cv2
import mmengine
import numpy as np
import pytest
import torch
from mmengine.config import Config

from simipu.evaluation.transfer import DepthFrames, load_depth_frames

WIDTH, HEIGHT, FOCAL = 192, 64, 90.0
NUM_FRAMES = 12

CONFIG = '''
_base_ = '{project}/configs/simipu_synthetic.py'
data_root = '{root}'
model = dict(img_backbone=dict(base_channels=8))
pipeline = [
    dict(type='LoadPairedPoints', load_dim=4, use_dim=4),
    dict(type='LoadPairedImages'),
    dict(type='ResizeImages', scale=(96, 32)),
    dict(type='SamplePoints', num_points=300),
    dict(type='PackPairedInputs')
]
train_dataloader = dict(dataset=dict(data_root=data_root, ann_file='train.pkl', pipeline=pipeline))
val_dataloader = dict(dataset=dict(data_root=data_root, ann_file='val.pkl', pipeline=pipeline))
'''


def depth_of(brightness):
    """Metres for a brightness of 0..255: 4 m to 40 m."""
    return 4 * 10**(np.asarray(brightness) / 255)


@pytest.fixture(scope='session')
def bright_config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve images of 192 x 64, each a ramp in a direction of its own, with 400 points each."""
    root = tmp_path_factory.mktemp('bright')
    rng = np.random.default_rng(0)
    infos = [_write_frame(root, index, rng) for index in range(NUM_FRAMES + 2)]
    mmengine.dump(dict(metainfo={}, data_list=infos[:NUM_FRAMES]), root / 'val.pkl')
    mmengine.dump(dict(metainfo={}, data_list=infos[NUM_FRAMES:]), root / 'train.pkl')
    config = root / 'bright.py'
    config.write_text(CONFIG.format(project=Path(__file__).resolve().parents[2], root=f'{root}/'))
    return config


@pytest.fixture
def bright_cfg(bright_config: Path) -> Config:
    return Config.fromfile(bright_config)


@pytest.fixture(scope='session')
def bright_frames(bright_config: Path) -> DepthFrames:
    return load_depth_frames(Config.fromfile(bright_config))


@pytest.fixture
def bright_depth() -> Callable:
    """From the brightness of a pixel to its depth in metres."""
    return depth_of


@pytest.fixture
def pooling() -> torch.nn.Module:
    """In place of a backbone: one level, each channel the mean of 2 x 2 pixels; nothing to learn."""
    class Pooling(torch.nn.Module):
        def forward(self, imgs):
            return [torch.nn.functional.avg_pool2d(imgs, 2)]
    return Pooling()


def _write_frame(root: Path, index: int, rng: np.random.Generator) -> dict:
    slope, middle = rng.uniform(-1, 1, 2), rng.uniform(60, 190)
    u, v = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))

    def brightness(u, v):
        return middle + 0.5 * slope[0] * (u - WIDTH / 2) + 0.5 * slope[1] * (v - HEIGHT / 2)

    gray = brightness(u, v).round().clip(0, 255).astype(np.uint8)
    cv2.imwrite(str(root / f'{index}.png'), np.repeat(gray[..., None], 3, axis=2))
    u, v = rng.uniform(0, WIDTH - 1, 400), rng.uniform(0, HEIGHT - 1, 400)
    depth = depth_of(brightness(u, v))
    camera = np.array([[FOCAL, 0, WIDTH / 2, 0], [0, FOCAL, HEIGHT / 2, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    axes = np.array([[0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1.0]])
    lidar2img = camera @ axes
    points = np.stack([u * depth, v * depth, depth, np.ones(400)]).T @ np.linalg.inv(lidar2img).T
    points.astype(np.float32).tofile(root / f'{index}.bin')
    image = dict(img_path=f'{index}.png', height=HEIGHT, width=WIDTH, lidar2img=lidar2img.tolist())
    return dict(sample_idx=index, images=dict(CAM=image), lidar_points=dict(lidar_path=f'{index}.bin'))
