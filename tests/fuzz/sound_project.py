"""A sound project, small enough to be trained in a second: frames, configs and checkpoints, which the cases spoil."""
import tempfile
from functools import cache
from itertools import count
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import cv2
import mmengine
import numpy as np
from outcomes import run_command

CONFIG = """
_base_ = '{configs}/simipu_synthetic.py'
data_root = '{root}/'
model = dict(
    img_backbone=dict(base_channels=4, norm_eval=False),
    point_encoder=dict(num_points=(16, 8), num_samples=((4, 4), (4, 4))),
    inter_head=[dict(type='ContrastiveHead',
                     query_projector=dict(type='ProjectionMLP', in_channels=width, num_layers=1),
                     key_projector=dict(type='ProjectionMLP', in_channels=256)) for width in (8, 16)])
pipeline = [
    dict(type='LoadPairedPoints', load_dim=4, use_dim=4),
    dict(type='LoadPairedImages'),
    dict(type='ResizeImages', scale=(64, 32)),
    dict(type='SamplePoints', num_points=64),
]
train_pipeline = [*pipeline, dict(type='PointCloudSecondView'), dict(type='PackPairedInputs')]
test_pipeline = [*pipeline, dict(type='PackPairedInputs')]
files = dict(data_root=data_root, ann_file='infos.pkl')
loader = dict(num_workers=0, persistent_workers=False, batch_size=2)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline, **files), **loader)
val_dataloader = dict(dataset=dict(pipeline=test_pipeline, **files), **loader)
test_dataloader = val_dataloader
train_cfg = dict(max_iters=2, val_interval=2)
default_hooks = dict(checkpoint=dict(interval=1), logger=dict(interval=1))
"""

DETECTOR = """
default_scope = 'mmdet3d'
model = dict(type='FCOSMono3D', backbone=dict(
    type='mmdet.ResNet', depth=18, base_channels=4, num_stages=3, strides=(1, 2, 2), dilations=(1, 1, 1),
    out_indices=(1, 2)))
"""


class SoundProject(NamedTuple):
    """Where its files are."""
    config: Path
    detector: Path
    checkpoint: Path  # of a training
    backbone: Path  # exported from it
    metrics: Path


@cache
def sound_project() -> SoundProject:
    """Frames, configs, and what a training and an export made of them; nothing may change these files."""
    root = Path(tempfile.mkdtemp(prefix='simipu_fuzz_'))
    rng = np.random.default_rng(0)
    infos = [_write_frame(root, index, rng) for index in range(4)]
    mmengine.dump(dict(metainfo={}, data_list=infos), root / 'infos.pkl')
    config, detector, metrics = root / 'sound.py', root / 'detector.py', root / 'metrics.json'
    config.write_text(CONFIG.format(configs=Path(__file__).resolve().parents[2] / 'configs', root=root))
    detector.write_text(DETECTOR)
    metrics.write_text('{"retrieval/top1": 50.0, "data_time": 0.1}')
    run('train', config, '--work-dir', root / 'work_dir')
    backbone = root / 'backbone.pth'
    run('export', root / 'work_dir/iter_2.pth', backbone)
    return SoundProject(config, detector, root / 'work_dir/iter_2.pth', backbone, metrics)


_RUNS = count()


def run(*argv: object) -> str:
    """What ``simipu ARGV`` prints; configs are not laid out prettily, which takes longer than all else."""
    with mock.patch('mmengine.config.config.FormatCode', lambda text, **style: (text, True)), \
            mock.patch('mmengine.runner.runner.collect_env', dict):
        return run_command(*map(str, argv))


def train(config: Path, *words: object) -> str:
    """Train in the folder ``work_dir``.

    Args:
        config: Of a training.
        words: Overrides ``KEY=VALUE``, or options.
    """
    overrides = [word for word in words if '=' in str(word)]
    # MMEngine keeps loggers by the name of the experiment and the second.
    return run('train', config, '--work-dir', 'work_dir', *(word for word in words if word not in overrides),
               '--cfg-options', f'experiment_name=run{next(_RUNS)}', *overrides)


def _write_frame(root: Path, index: int, rng: np.random.Generator) -> dict:
    image, cloud = root / f'{index}.png', root / f'{index}.bin'
    cv2.imwrite(str(image), rng.integers(0, 255, (32, 64, 3), dtype=np.uint8))
    points = rng.uniform([4, -6, -1, 0], [20, 6, 1, 1], (400, 4)).astype(np.float32)
    points.tofile(cloud)
    lidar2img = np.array([[32, -40, 0, 0], [16, 0, -40, 0], [1, 0, 0, 0], [0, 0, 0, 1.]])
    camera = dict(img_path=image.name, height=32, width=64, lidar2img=lidar2img)
    return dict(sample_idx=index, images=dict(CAM=camera), lidar_points=dict(lidar_path=cloud.name, num_pts_feats=4))
