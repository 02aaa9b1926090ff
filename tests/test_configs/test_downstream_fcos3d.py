"""FCOS3D of the shipped config starts from the exported weights, and trains on a real keyframe."""
from pathlib import Path

import mmdet3d
import pytest
import torch
from mmdet.models import ResNet
from mmdet3d.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope

from simipu.checkpoints import export_backbone, verify_pretrained

CONFIGS = Path(__file__).parents[2] / 'configs' / 'downstream'
CONFIG = CONFIGS / 'fcos3d_r50_simipu_nus-mono3d.py'
BASE = (Path(mmdet3d.__file__).parent / '.mim' / 'configs' / 'fcos3d' /
        'fcos3d_r101-caffe-dcn_fpn_head-gn_8xb2-1x_nus-mono3d.py')
EIGHTH_SIZE = dict(type='RandomResize3D', scale=(1600, 900), ratio_range=(0.125, 0.125),
                   keep_ratio=True)  # unlike mmdet.Resize, it also scales the objects' centres


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    """A ResNet-50 exported from a SimIPU state dict, of values that no initialisation gives."""
    folder = tmp_path_factory.mktemp('weights')
    tensors = ResNet(50).state_dict()
    for name, value in tensors.items():
        value.add_(torch.rand_like(value) * 0.01 if value.is_floating_point() else 1)
    torch.save({'state_dict': {f'img_backbone.{key}': value for key, value in tensors.items()}},
               folder / 'simipu.pth')
    export_backbone(folder / 'simipu.pth', folder / 'backbone.pth')
    return folder / 'backbone.pth'


@pytest.fixture
def keyframe(real_data):
    """The config's training set over one keyframe, its images at an eighth of their size."""
    folder = real_data / 'nuscenes'
    cfg = Config.fromfile(CONFIG).train_dataloader.dataset
    cfg.data_root = str(folder)
    cfg.ann_file = next(folder.glob('*.pkl')).name
    cfg.data_prefix = {name: '' for name in cfg.data_prefix}
    cfg.pipeline = [EIGHTH_SIZE if step.type == 'mmdet.Resize' else step for step in cfg.pipeline]
    with DefaultScope.overwrite_default_scope('mmdet3d'):
        return DATASETS.build(cfg)


def test_every_backbone_tensor_comes_from_the_file(weights):
    report = verify_pretrained(CONFIG, weights)
    assert report.ok
    assert set(report.loaded) == set(report.changed) == set(ResNet(50).state_dict())
    assert not report.unexpected and not report.warnings
    assert len(report.new_layers) == 2 * (6 + 3)  # weight and bias per block of stages 3 and 4


def test_small_config_takes_the_backbone_of_the_synthetic_recipe(tmp_path):
    pretraining = Config.fromfile(CONFIGS.parent / 'simipu_synthetic.py')
    backbone = MODELS.build(pretraining.model.img_backbone)
    path = tmp_path / 'simipu.pth'
    torch.save({'meta': {'cfg': pretraining.pretty_text}, 'state_dict': {
        f'img_backbone.{key}': value for key, value in backbone.state_dict().items()}}, path)
    export_backbone(path, tmp_path / 'backbone.pth')
    detector = CONFIGS / 'fcos3d_r18_simipu_nus-mono3d.py'
    report = verify_pretrained(detector, tmp_path / 'backbone.pth')
    assert report.ok and len(report.loaded) == len(backbone.state_dict())
    assert not report.unexpected and not report.warnings


def test_base_config_with_resnet101_does_not_take_the_weights(weights):
    report = verify_pretrained(BASE, weights)
    assert not report.ok
    assert 'layer3.22.conv1.weight' in report.missing
    assert 'FAILED' in str(report)


def test_scratch_twin_differs_only_in_the_initialisation():
    scratch = Config.fromfile(CONFIGS / 'fcos3d_r50_scratch_nus-mono3d.py').to_dict()
    pretrained = Config.fromfile(CONFIG).to_dict()
    assert pretrained['model']['backbone'].pop('init_cfg')['type'] == 'Pretrained'
    assert scratch['model']['backbone'].pop('init_cfg') is None
    assert scratch == pretrained


def test_one_training_step_on_a_real_keyframe(weights, keyframe):
    cfg = Config.fromfile(CONFIG)
    cfg.model.backbone.init_cfg.checkpoint = str(weights)
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
