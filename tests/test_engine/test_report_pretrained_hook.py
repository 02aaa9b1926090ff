"""A training says which of its weights came from which file, however they were loaded, and stops below a limit."""
import json
from pathlib import Path

import pytest
import torch
from mmdet.models import ResNet
from mmdet3d.registry import MODELS as MMDET3D_MODELS
from mmengine.model import BaseModel, BaseModule, ModuleDict
from mmengine.registry import MODELS, DefaultScope
from mmengine.runner import Runner
from torch import nn

from simipu.errors import CheckpointError, ConfigError

SMALL = dict(base_channels=4, norm_eval=False)


@MODELS.register_module()
class TinyDetector(BaseModel):
    """An image backbone inside another module, and a head."""

    def __init__(self, img_backbone: dict) -> None:
        super().__init__()
        self.encoder = ModuleDict(dict(img_backbone=MODELS.build(img_backbone)))
        self.head = nn.Linear(3, 2)

    def forward(self, inputs, data_samples=None, mode='loss'):
        return dict(loss=self.encoder['img_backbone'](torch.stack(inputs))[-1].mean() + self.head.weight.mean())


@MODELS.register_module()
class ForgetfulSmallResNet(ResNet):
    """Initialises its last stage again after the weights were loaded."""

    def init_weights(self):
        super().init_weights()
        for layer in self.layer4.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.normal_(layer.weight)


@MODELS.register_module()
class SparseBackbone(BaseModule):
    """A sparse convolution as mmdet3d builds it."""

    def __init__(self, init_cfg: dict | None = None, **settings_of_a_resnet) -> None:
        super().__init__(init_cfg)
        with DefaultScope.overwrite_default_scope('mmdet3d'):
            self.conv = MMDET3D_MODELS.build(dict(type='SubMConv3d', in_channels=4, out_channels=8, kernel_size=3))

    def forward(self, imgs):
        return [self.conv.weight]


@pytest.fixture
def weights(tmp_path, randomize) -> Path:
    """A backbone as it is exported."""
    torch.save(dict(state_dict=randomize(ResNet(18, **SMALL)).state_dict()), tmp_path / 'backbone.pth')
    return tmp_path / 'backbone.pth'


@pytest.fixture
def randomize():
    def randomize(module: nn.Module) -> nn.Module:
        for name, value in module.state_dict().items():
            if value.is_floating_point():
                value.normal_()
            if name.endswith('running_var'):
                value.abs_()
        return module
    return randomize


@pytest.fixture
def start(tmp_path):
    """Trains for an iteration, with the hook in its config; the shares, and the text of the log."""

    def start(hook: dict | None = None, backbone: dict | None = None, scope: str = 'mmdet3d', **settings) -> tuple:
        work_dir = tmp_path / 'run'
        backbone = {**dict(type='mmdet.ResNet', depth=18, init_cfg=None), **SMALL, **(backbone or {})}
        data = dict(dataset=[dict(inputs=torch.rand(3, 32, 32))] * 2, batch_size=2, num_workers=0,
                    sampler=dict(type='mmengine.DefaultSampler', shuffle=False))
        runner = Runner(
            model=dict(type='TinyDetector', img_backbone=backbone), work_dir=str(work_dir), train_dataloader=data,
            train_cfg=dict(by_epoch=False, max_iters=1), optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
            default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=1, by_epoch=False)),
            custom_hooks=[dict(type='ReportPretrained', **hook or {})], default_scope=scope,
            experiment_name=tmp_path.name, **settings)
        runner.train()
        scalars = [json.loads(line) for file in work_dir.glob('*/vis_data/*.json')
                   for line in file.read_text().splitlines() if 'pretrained/' in line]
        shares = {key.removeprefix('pretrained/'): value for key, value in scalars[-1].items() if '/' in key} \
            if scalars else {}
        return shares, next(work_dir.glob('*/*.log')).read_text()

    return start


def pretrained(file, **options) -> dict:
    return dict(init_cfg=dict(type='Pretrained', checkpoint=str(file), **options))


@pytest.mark.parametrize('scope', ['mmdet3d', 'mmdet'])
def test_init_cfg_is_found_wherever_it_is(weights, start, scope):
    shares, log = start(backbone=pretrained(weights), scope=scope)
    assert shares['encoder.img_backbone'] == shares['encoder'] == 1 and shares['head'] == 0
    # Of 120 tensors, all but the 20 counters of batch norm; the head's own two are random.
    assert f'encoder.img_backbone 100% of 100 tensors: 100 from {weights}' in log
    assert '0% of 2 tensors' in log


def test_prefix_of_a_training_checkpoint(weights, start, tmp_path):
    tensors = torch.load(weights)['state_dict']
    torch.save(dict(state_dict={f'module.img_backbone.{key}': value for key, value in tensors.items()}),
               tmp_path / 'epoch_1.pth')
    shares, _ = start(backbone=pretrained(tmp_path / 'epoch_1.pth', prefix='module.img_backbone.'))
    assert shares['encoder.img_backbone'] == 1


def test_load_from_and_limits_by_name(weights, start, tmp_path):
    tensors = torch.load(weights)['state_dict']
    torch.save({f'module.encoder.img_backbone.{key}': value for key, value in tensors.items()
                if not key.startswith('layer4')}, tmp_path / 'detector.pth')
    shares, log = start(load_from=str(tmp_path / 'detector.pth'))
    assert 0.5 < shares['encoder'] < 1 and 'from ' + str(tmp_path / 'detector.pth') in log
    with pytest.raises(CheckpointError, match=r'encoder: .*, where at least 95% are asked for\. Name weights'):
        start(dict(limits=dict(encoder=0.95)), load_from=str(tmp_path / 'detector.pth'))


def test_weights_of_another_depth_stop_the_training(weights, start):
    with pytest.raises(CheckpointError) as info:
        start(backbone=dict(pretrained(weights), depth=50))
    assert 'encoder.img_backbone:' in str(info.value) and f'its init_cfg names {weights}' in str(info.value)


def test_what_is_initialised_again_does_not_count(weights, start):
    backbone = dict(pretrained(weights), type='ForgetfulSmallResNet')
    shares, _ = start(dict(min_share=0.5), backbone)
    assert shares['encoder.img_backbone'] == pytest.approx(1 - 5 / 100)  # five convolutions of the last stage
    with pytest.raises(CheckpointError, match='encoder.img_backbone:  95% of 100 tensors'):
        start(dict(min_share=0.96), backbone)


def test_kernels_that_mmdet3d_permutes_while_loading_count(start, tmp_path):
    pytest.importorskip('spconv', reason='the sparse convolution needs spconv')
    tensors = SparseBackbone().state_dict()
    tensors['conv.weight'] = tensors['conv.weight'].permute(1, 2, 3, 4, 0)  # as mmcv has it
    torch.save(dict(state_dict=dict(tensors)), tmp_path / 'mmcv.pth')
    shares, _ = start(dict(min_share=1.0), dict(pretrained(tmp_path / 'mmcv.pth'), type='SparseBackbone'))
    assert shares['encoder.img_backbone'] == 1


def test_a_file_of_which_nothing_fits_stops_the_training(start, tmp_path):
    torch.save(dict(state_dict=dict(stem=torch.rand(3, 3))), tmp_path / 'other.pth')
    with pytest.raises(CheckpointError, match='nothing came from load_from=.*other.pth'):
        start(load_from=str(tmp_path / 'other.pth'))


def test_without_files_all_is_random(start):
    shares, log = start()
    assert set(shares.values()) == {0}


def test_a_resumed_training_is_left_alone(weights, start):
    start(backbone=pretrained(weights))
    start(dict(min_share=1.0), backbone=pretrained(weights), resume=True)


def test_unknown_module_is_named(weights, start):
    with pytest.raises(ConfigError, match='limits: the model has no module neck; its modules are .*encoder'):
        start(dict(limits=dict(neck=1.0)), backbone=pretrained(weights))
