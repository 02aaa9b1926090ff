"""Detectors of the shipped configs for nuScenes train on a real keyframe, from exported weights."""
from pathlib import Path

import mmdet3d
import pytest
import torch
from mmdet3d.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope

from simipu.checkpoints import verify_pretrained

CONFIGS = Path(__file__).parents[2] / 'configs' / 'downstream'
BASE = (Path(mmdet3d.__file__).parent / '.mim' / 'configs' / 'fcos3d' /
        'fcos3d_r101-caffe-dcn_fpn_head-gn_8xb2-1x_nus-mono3d.py')
EIGHTH_SIZE = dict(type='RandomResize3D', scale=(1600, 900), ratio_range=(0.125, 0.125),
                   keep_ratio=True)  # unlike mmdet.Resize, it also scales the objects' centres


@pytest.fixture
def keyframe(real_data):
    """The training set of the configs over one keyframe, its images at an eighth of their size."""
    folder = real_data / 'nuscenes'
    cfg = Config.fromfile(CONFIGS / 'fcos3d_r50_simipu_nus-mono3d.py').train_dataloader.dataset
    cfg.data_root = str(folder)
    cfg.ann_file = next(folder.glob('*.pkl')).name
    cfg.data_prefix = {name: '' for name in cfg.data_prefix}
    cfg.pipeline = [EIGHTH_SIZE if step.type == 'mmdet.Resize' else step for step in cfg.pipeline]
    with DefaultScope.overwrite_default_scope('mmdet3d'):
        return DATASETS.build(cfg)


def test_base_config_with_resnet101_does_not_take_the_weights(pretrained):
    report = verify_pretrained(BASE, pretrained('simipu_r50_16xb2-100e_nuscenes.py'))
    assert not report.ok
    assert 'layer3.22.conv1.weight' in report.missing
    assert 'FAILED' in str(report)


@pytest.mark.parametrize('name', ['fcos3d_r50', 'pgd_r50'])
def test_one_training_step_on_a_real_keyframe(name, pretrained, keyframe):
    cfg = Config.fromfile(CONFIGS / f'{name}_simipu_nus-mono3d.py')
    cfg.model.backbone.init_cfg.checkpoint = str(pretrained('simipu_r50_16xb2-100e_nuscenes.py'))
    with DefaultScope.overwrite_default_scope('mmdet3d'):
        detector = MODELS.build(cfg.model)
        detector.init_weights()
        optim_wrapper = build_optim_wrapper(detector, cfg.optim_wrapper)
    frame = max(keyframe, key=lambda frame: len(frame['data_samples'].gt_instances_3d))
    before = {name: value.clone() for name, value in detector.named_parameters()}
    detector.train()
    losses = detector.train_step(pseudo_collate([frame]), optim_wrapper)

    assert {'loss_cls', 'loss_offset', 'loss_depth', 'loss_centerness'} <= losses.keys()
    assert all(torch.isfinite(value).all() for value in losses.values())
    assert losses['loss_depth'] > 0  # objects of the keyframe were assigned to locations
    still = [name for name, value in detector.backbone.named_parameters()
             if torch.equal(value, before[f'backbone.{name}'])]
    assert not still
