"""Image backbones of every kind: all of it learns, and the matching detector loads all of it."""
from pathlib import Path

import pytest
import torch
from mmdet3d.registry import MODELS
from mmengine.config import Config
from mmengine.model import BaseModule
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from torch import nn

from simipu.checkpoints import convert_checkpoint, export_backbone, verify_pretrained
from simipu.config import check_config

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'


@MODELS.register_module(force=True)
class TinyVoVNet(BaseModule):
    """A backbone of one's own: one-shot aggregation (Lee et al., VoVNet) at strides 4 and 8."""

    def __init__(self, init_cfg=None):
        super().__init__(init_cfg)
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.stages = nn.ModuleList(nn.ModuleList(nn.Conv2d(width, 8, 3, padding=1)
                                                  for width in (inputs, 8, 8)) for inputs in (8, 16))
        self.joins = nn.ModuleList(nn.Conv2d(inputs + 3 * 8, 16, 1) for inputs in (8, 16))

    def forward(self, images):
        outputs, x = [], self.stem(images).relu()
        for layers, join in zip(self.stages, self.joins):
            together = [x]
            for layer in layers:
                together.append(layer(together[-1]).relu())
            x = nn.functional.max_pool2d(join(torch.cat(together, 1)), 2)
            outputs.append(x)
        return tuple(outputs)


def retinanet(depth, style=''):
    return f"_base_ = 'mmdet::retinanet/retinanet_r{depth}{style}_fpn_1x_coco.py'"


# Name: config of the pre-training, what is changed of its image backbone, config of the detector. The
# plain ResNet-50 has a test of its own, with the downstream configs.
CASES = {
    'resnet18': ('backbones/simipu_r18_8xb4-100e_kitti.py', {}, retinanet(18)),
    'resnet50-caffe': ('backbones/simipu_r101-caffe_16xb2-100e_nuscenes.py', dict(depth=50),
                       retinanet(50, '-caffe')),
    'resnet101-caffe': (
        'backbones/simipu_r101-caffe_16xb2-100e_nuscenes.py', {},
        "_base_ = 'mmdet3d::fcos3d/fcos3d_r101-caffe-dcn_fpn_head-gn_8xb2-1x_nus-mono3d.py'"),
    'dla34': ('backbones/simipu_dla34_8xb4-100e_kitti.py', {},
              "_base_ = 'mmdet3d::smoke/smoke_dla34_dlaneck_gn-all_4xb8-6x_kitti-mono3d.py'"),
    'swin-t': ('backbones/simipu_swin-t_8xb4-100e_kitti.py', {},
               "_base_ = 'mmdet::swin/mask-rcnn_swin-t-p4-w7_fpn_1x_coco.py'\n"
               'model = dict(backbone=dict(convert_weights=False))'),
    'convnext-t': ('backbones/simipu_convnext-t_8xb4-100e_kitti.py', {},
                   "_base_ = 'mmdet::convnext/mask-rcnn_convnext-t-p4-w7_fpn_amp-ms-crop-3x_coco.py'"),
    'own': ('simipu_kitti.py', dict(_delete_=True, type='TinyVoVNet'),
            retinanet(18) + "\nmodel = dict(backbone=dict(_delete_=True, type='mmdet3d.TinyVoVNet'), "
            'neck=dict(in_channels=[16, 16], start_level=0))'),
}


@pytest.fixture(params=CASES)
def case(request, tmp_path):
    """The pre-training's config and model, and the path of the detector's config."""
    if request.param == 'convnext-t':
        pytest.importorskip('mmpretrain', reason='ConvNeXt is mmpretrain\'s, which is not installed')
    file, changes, detector = CASES[request.param]
    cfg = Config.fromfile(CONFIGS / file)
    cfg.merge_from_dict(dict(model=dict(img_backbone=changes)))
    if request.param == 'own':
        cfg.model.inter_head.query_projector.in_channels = 16
    check_config(cfg)
    (tmp_path / 'detector.py').write_text(detector)
    with DefaultScope.overwrite_default_scope('mmdet3d'):
        return cfg, MODELS.build(cfg.model), tmp_path / 'detector.py'


def test_backbone_learns_as_a_whole_and_the_detector_loads_it(case, tmp_path):
    cfg, model, detector = case
    cells = model.extract_image_features(torch.randn(1, 1, 3, 64, 96)).permute(0, 2, 3, 1)
    model.inter_head.embed_query(cells.flatten(0, 2)).square().sum().backward()
    # Several processes refuse parameters without gradient, unless they are told.
    unused = [name for name, value in model.img_backbone.named_parameters() if value.grad is None]
    assert bool(unused) == cfg.get('find_unused_parameters', False), unused

    with torch.no_grad():
        for value in model.img_backbone.parameters():
            value.add_(0.01)  # a value that no initialisation gives
    torch.save(dict(state_dict=model.state_dict(), meta=dict(cfg=f'model = {cfg.model.to_dict()}')),
               tmp_path / 'simipu.pth')
    if 'Swin' in cfg.model.img_backbone.type:  # mmdet's Swin wants the keys with `backbone.`
        convert_checkpoint(tmp_path / 'simipu.pth', 'mmseg', tmp_path / 'backbone.pth')
    else:
        export_backbone(tmp_path / 'simipu.pth', tmp_path / 'backbone.pth')
    report = verify_pretrained(detector, tmp_path / 'backbone.pth')
    parameters = {name for name, _ in model.img_backbone.named_parameters()}
    assert set(report.loaded) >= parameters and set(report.changed) >= parameters
    assert not report.mismatched and not report.not_loaded and not report.warnings
    # A detector may read more levels than were contrasted, each through a norm of its own.
    assert all(name.startswith('norm') for name in report.missing), report.missing


@pytest.mark.parametrize('file', [  # but of a single layer where geometry is learned as well
    *CONFIGS.glob('simipu_r50[_-][!w]*.py'), *CONFIGS.glob('backbones/*.py')], ids=lambda file: file.stem)
def test_pixels_are_projected_through_a_quarter_of_the_width(file):
    projector = Config.fromfile(file, import_custom_modules=False).model.inter_head.query_projector
    assert projector.hidden_channels * 4 == projector.in_channels


def test_strong_weights_move_less_the_nearer_they_are_to_the_image():
    """Rates of the parameter groups against those of the header's rule; nothing of the backbone is forgotten."""
    cfg = Config.fromfile(CONFIGS / 'backbones/simipu_r50-strong-start_8xb4-100e_kitti.py')
    assert cfg.model.img_backbone.init_cfg.checkpoint == cfg.weights
    with DefaultScope.overwrite_default_scope('mmdet3d'):
        backbone = MODELS.build(dict(cfg.model.img_backbone, init_cfg=None))
        model = nn.ModuleDict(dict(img_backbone=backbone, point_encoder=nn.Linear(2, 2), inter_head=nn.Linear(2, 2)))
        optimizer = build_optim_wrapper(model, cfg.optim_wrapper).optimizer
    rates = {id(weight): group['lr'] for group in optimizer.param_groups for weight in group['params']}
    expected = dict(conv1=0.05, bn1=0.05, layer1=0.1, layer2=0.2, layer3=0.4, layer4=0.8)
    for name, weight in backbone.named_parameters():
        assert rates[id(weight)] == pytest.approx(0.03 * expected[name.split('.')[0]]), name
    assert rates[id(model.inter_head.weight)] == 0.03 and rates[id(model.point_encoder.weight)] == 1e-3
