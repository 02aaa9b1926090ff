"""The verification finds every way in which a detector can fail to hold its pre-trained weights."""

import pytest
import torch
from mmdet.models import ResNet
from mmdet3d.registry import MODELS

from simipu.checkpoints import export_backbone, verify_pretrained
from simipu.cli import main
from simipu.errors import CheckpointError

# a detector of the same parts as the downstream one, small enough to build in a moment
CONFIG = """
default_scope = 'mmdet3d'
model = dict(
    type='FCOSMono3D',
    data_preprocessor=dict(type='Det3DDataPreprocessor', mean=[103.53, 116.28, 123.675],
                           std=[1.0, 1.0, 1.0], bgr_to_rgb=False),
    backbone=dict(type='mmdet.ResNet', depth={depth}, {options}),
    neck=dict(type='mmdet.FPN', in_channels=[64, 128, 256, 512], out_channels=16, num_outs=4),
    bbox_head=dict(
        type='FCOSMono3DHead', num_classes=2, in_channels=16, feat_channels=16, stacked_convs=1,
        norm_cfg=None, cls_branch=(16, ), reg_branch=((16, ), (16, ), (16, ), (16, ), ()),
        dir_branch=(16, ), strides=[4, 8, 16, 32],
        bbox_coder=dict(type='FCOS3DBBoxCoder', code_size=9)))
"""


@MODELS.register_module()
class ForgetfulResNet(ResNet):
    """Initialises one layer again after the weights were loaded."""

    def init_weights(self):
        super().init_weights()
        self.layer4[1].conv2.weight.data.zero_()


@pytest.fixture
def write_config(tmp_path):
    def write(depth=18, options='', text=CONFIG):
        path = tmp_path / 'detector.py'
        path.write_text(text.format(depth=depth, options=options))
        return path
    return write


@pytest.fixture
def weights(training_checkpoint, tmp_path):
    path = tmp_path / 'backbone.pth'
    export_backbone(training_checkpoint, path)
    return path


def edited(weights, edit):
    content = torch.load(weights, weights_only=True)
    edit(content['state_dict'])
    torch.save(content, weights)
    return weights


def run_command(*arguments):
    main(['verify', *map(str, arguments)])


def test_exported_backbone_is_loaded_whole(write_config, weights):
    report = verify_pretrained(write_config(), weights)
    assert report.ok
    assert sorted(report.loaded) == sorted(ResNet(18).state_dict())
    assert 'conv1.weight' in report.changed
    assert not report.unexpected + report.counters + report.warnings + report.new_layers
    assert 'OK: every tensor of the backbone was loaded' in str(report)


def test_training_checkpoint_is_loaded_by_its_prefix(write_config, training_checkpoint):
    report = verify_pretrained(write_config(), training_checkpoint)
    assert report.ok and report.init_cfg['prefix'] == 'img_backbone.'


def test_weights_that_were_there_before_are_not_called_changed(write_config, weights, monkeypatch):
    constant = {key: torch.full_like(value, 3) for key, value in ResNet(18).state_dict().items()}
    edited(weights, lambda tensors: tensors.update(constant))
    build = MODELS.module_dict['FCOSMono3D'].__init__

    def build_with_weights(self, *args, **kwargs):
        build(self, *args, **kwargs)
        self.backbone.load_state_dict(constant)

    monkeypatch.setattr(MODELS.module_dict['FCOSMono3D'], '__init__', build_with_weights)
    report = verify_pretrained(write_config(), weights)
    assert report.ok and not report.changed


def test_deeper_backbone_fails_and_says_why(write_config, weights, capsys):
    with pytest.raises(SystemExit) as exit_info:
        run_command(write_config(depth=34), weights)
    assert exit_info.value.code == 1
    out = capsys.readouterr().out
    assert 'missing' in out and 'not in the file: layer1.2.conv1.weight' in out
    assert 'FAILED: 96 of 216 tensors of the backbone were not loaded' in out
    assert 'must be of the same type and depth' in out


@pytest.mark.parametrize('content, message', [
    (b'', r'is empty \(0 bytes\)'), (b'no checkpoint', 'is not a PyTorch checkpoint'),
    (None, 'no checkpoint .*weights.pth; check the path')])
def test_unusable_file_fails_and_says_why(tmp_path, write_config, content, message):
    path = tmp_path / 'weights.pth'
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SystemExit, match=message):
        run_command(write_config(), path)


def test_success_exits_with_zero(write_config, weights, capsys):
    run_command(write_config(), weights)
    assert 'matched    120 tensors equal the file' in capsys.readouterr().out


def test_one_missing_tensor_fails(write_config, weights):
    report = verify_pretrained(write_config(), edited(
        weights, lambda tensors: tensors.pop('layer2.0.bn1.running_mean')))
    assert not report.ok and report.missing == ['layer2.0.bn1.running_mean']


def test_one_tensor_of_another_shape_fails(write_config, weights):
    report = verify_pretrained(write_config(), edited(
        weights, lambda tensors: tensors.update({'conv1.weight': torch.ones(64, 4, 7, 7)})))
    assert not report.ok
    assert report.mismatched == {'conv1.weight': ((64, 4, 7, 7), (64, 3, 7, 7))}
    assert 'conv1.weight (file (64, 4, 7, 7), backbone (64, 3, 7, 7))' in str(report)


def test_a_layer_that_is_initialised_again_fails(write_config, weights):
    text = CONFIG.replace('mmdet.ResNet', 'ForgetfulResNet')
    report = verify_pretrained(write_config(text=text), weights)
    assert not report.ok and report.not_loaded == ['layer4.1.conv2.weight']


def test_classifier_and_counters_do_no_harm(write_config, weights):
    def as_in_an_old_classifier(tensors):
        tensors.update({'fc.weight': torch.ones(2, 2), 'fc.bias': torch.ones(2)})
        tensors.pop('bn1.num_batches_tracked')
    report = verify_pretrained(write_config(), edited(weights, as_in_an_old_classifier))
    assert report.ok
    assert report.unexpected == ['fc.weight', 'fc.bias']
    assert report.counters == ['bn1.num_batches_tracked']


def test_weights_of_another_kind_of_model_fail(write_config, weights):
    report = verify_pretrained(write_config(), edited(
        weights, lambda tensors: [tensors.pop(key) for key in list(tensors)]
        and tensors.update({'patch_embed.weight': torch.ones(2)})))
    assert not report.ok and not report.loaded
    assert 'The file holds patch_embed.* (1)' in str(report)


def test_other_normalisation_than_in_pretraining_is_warned_of(write_config, weights):
    text = CONFIG.replace('bgr_to_rgb=False', 'bgr_to_rgb=True')
    report = verify_pretrained(write_config(text=text, options="style='caffe'"), weights)
    assert report.ok and len(report.warnings) == 2
    assert 'pre-trained with backbone.style=pytorch, the detector has caffe' in str(report)
    assert 'data_preprocessor.bgr_to_rgb=False, the detector has True' in str(report)


def test_config_without_image_backbone_is_refused(write_config, weights):
    path = write_config(text="model = dict(type='VoxelNet', voxel_encoder=dict(), middle=dict())")
    with pytest.raises(CheckpointError, match='detector.py: no image backbone; expected model.img_'
                       'backbone or model.backbone, found model with type, voxel_encoder, middle'):
        verify_pretrained(path, weights)
