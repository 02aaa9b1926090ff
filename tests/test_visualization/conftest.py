"""A config with a tiny model and data set, for whole pictures."""
from pathlib import Path

import cv2
import mmengine
import numpy as np
import pytest
from mmengine.config import Config

CONFIG = '''
_base_ = '{project}/configs/simipu_synthetic.py'
data_root = '{root}'
model = dict(img_backbone=dict(base_channels=8), point_encoder=dict(num_points=(64, 32)), inter_head=[
    dict(type='ContrastiveHead',
         query_projector=dict(type='ProjectionMLP', in_channels=width, num_layers=1),
         key_projector=dict(type='ProjectionMLP', in_channels=256)) for width in (16, 32)])
load = [
    dict(type='LoadPairedPoints', load_dim=4, use_dim=4),
    dict(type='LoadPairedImages'),
    dict(type='SamplePoints', num_points=256)
]
train_pipeline = [
    *load,
    dict(type='PointCloudSecondView'),
    dict(type='ResizeImages', scale=[(96, 32), (128, 48)]),
    dict(type='CropImages', size=(96, 32)),
    dict(type='FlipImages'),
    dict(type='PackPairedInputs')
]
test_pipeline = [
    *load,
    dict(type='ResizeImages', scale=(128, 48)),
    dict(type='PackPairedInputs')
]
files = dict(data_root=data_root, ann_file='infos.pkl')
train_dataloader = dict(dataset=dict(pipeline=train_pipeline, **files))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline, **files))
'''


@pytest.fixture(scope='session')
def tiny_config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four frames of two cameras, one that looks ahead and one that looks back, 128 x 48 pixels."""
    root = tmp_path_factory.mktemp('two_cameras')
    rng = np.random.default_rng(0)
    infos = [_write_frame(root, index, rng) for index in range(4)]
    mmengine.dump(dict(metainfo=dict(dataset='made up'), data_list=infos), root / 'infos.pkl')
    config = root / 'tiny.py'
    config.write_text(CONFIG.format(project=Path(__file__).resolve().parents[2], root=f'{root}/'))
    return config


@pytest.fixture
def tiny_cfg(tiny_config: Path) -> Config:
    return Config.fromfile(tiny_config)


def _write_frame(root: Path, index: int, rng: np.random.Generator) -> dict:
    points = rng.uniform([1, -20, -1.5, 0], [40, 20, 2, 1], (400, 4)).astype(np.float32)
    points.tofile(root / f'{index}.bin')
    images = {}
    for name, turn in (('FRONT', 1), ('BACK', -1)):
        cv2.imwrite(str(root / f'{index}_{name}.png'), rng.integers(0, 256, (48, 128, 3), np.uint8))
        camera = np.array([[60, 0, 63.5, 0], [0, 60, 23.5, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
        axes = np.array([[0, -turn, 0, 0], [0, 0, -1, 0], [turn, 0, 0, 0], [0, 0, 0, 1.0]])
        images[name] = dict(img_path=f'{index}_{name}.png', height=48, width=128,
                            lidar2img=(camera @ axes).tolist())
    return dict(sample_idx=index, images=images,
                lidar_points=dict(lidar_path=f'{index}.bin', num_pts_feats=4))
