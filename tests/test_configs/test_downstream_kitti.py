"""Detectors of the shipped configs for KITTI train and predict on small generated frames, on a CPU."""
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from mmdet3d.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope

from simipu.engine.launch import with_data_root

CONFIGS = Path(__file__).parents[2] / 'configs' / 'downstream'
SIZE = (192, 64)  # of the generated images, (width, height)
LOSSES = {
    'pgd_r50_simipu_kitti-mono3d': {'loss_cls', 'loss_depth', 'loss_kpts', 'loss_bbox2d'},
    'smoke_dla34_simipu_kitti-mono3d': {'loss_cls', 'loss_bbox'},
    'monoflex-style_dla34_simipu_kitti-mono3d': {'loss_cls', 'loss_depth', 'loss_kpts', 'loss_bbox2d'},
    'imvoxelnet_r50_simipu_kitti-3d-car': {'loss_cls', 'loss_bbox', 'loss_dir'},
}
WEIGHTS = {'dla34': 'backbones/simipu_dla34_8xb4-100e_kitti.py', 'r50': 'simipu_kitti.py'}


def small(name: str, root: Path) -> Config:
    """The config on ``root``, without enlarging its images, and with few voxels."""
    cfg = with_data_root(Config.fromfile(CONFIGS / f'{name}.py'), str(root))
    for step in steps(cfg.train_dataloader.dataset, cfg.val_dataloader.dataset):
        if step.type == 'AffineResize':
            step.img_scale = SIZE
        elif step.type.endswith('Resize'):
            step.scale = [SIZE, SIZE] if step.type == 'RandomResize' else SIZE
            step.pop('scale_factor', None)
    if 'n_voxels' in cfg.model:
        cfg.model.n_voxels = [27, 31, 12]
    return cfg


def steps(*datasets: Config) -> Iterator[Config]:
    for dataset in datasets:
        yield from dataset.get('dataset', dataset).pipeline


@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('name', LOSSES)
def test_training_step_and_prediction(name, mmdet3d_kitti, pretrained):
    cfg = small(name, mmdet3d_kitti)
    cfg.model.backbone.init_cfg.checkpoint = str(pretrained(WEIGHTS[name.split('_')[1]]))
    with DefaultScope.overwrite_default_scope('mmdet3d'):
        detector = MODELS.build(cfg.model)
        detector.init_weights()
        train, val = (DATASETS.build(loader.dataset)
                      for loader in (cfg.train_dataloader, cfg.val_dataloader))
        optim_wrapper = build_optim_wrapper(detector, cfg.optim_wrapper)
    frame = max((train[i] for i in range(2)), key=lambda frame: len(frame['data_samples'].gt_instances_3d))
    assert len(frame['data_samples'].gt_instances_3d)
    weight = next(detector.backbone.parameters())
    before = weight.clone()
    detector.train()
    losses = detector.train_step(pseudo_collate([frame]), optim_wrapper)
    assert LOSSES[name] <= losses.keys()
    assert all(torch.isfinite(value).all() for value in losses.values())
    assert not torch.equal(weight, before), 'the first layer of the backbone learns'

    detector.eval()
    with torch.no_grad():
        result, = detector.val_step(pseudo_collate([val[0]]))
    predicted = result.pred_instances_3d  # sizes may be infinite, after one step
    assert predicted.bboxes_3d.tensor.shape[1] == 7 and torch.isfinite(predicted.scores_3d).all()
