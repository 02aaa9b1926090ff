"""The verification finds every way in which a detector can fail to hold its pre-trained weights."""
import re

import pytest
import torch
from mmdet.models import ResNet
from mmdet3d.registry import MODELS
from mmengine.config import ConfigDict

from simipu.checkpoints import convert_checkpoint, export_backbone, verify_pretrained
from simipu.checkpoints.verifying import _preprocessor_of
from simipu.cli import main
from simipu.errors import CheckpointError, ConfigError

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


def test_a_detector_that_does_not_normalise_is_warned_of(write_config, weights):
    without = re.sub(r'\n    data_preprocessor=dict\(.*?\),\n', '\n', CONFIG, flags=re.DOTALL)
    assert 'mean' not in without
    warnings = verify_pretrained(write_config(text=without), weights).warnings
    assert len(warnings) == 2, warnings
    for name, warning in zip(('mean', 'std'), warnings):
        assert re.search(rf'with data_preprocessor.{name}=\[.*\], the detector has none, which means None', warning)
    content = torch.load(weights, weights_only=True)
    content['meta']['data_preprocessor']['bgr_to_rgb'] = True
    content['meta']['backbone']['style'] = 'caffe'
    torch.save(content, weights)
    said = str(verify_pretrained(write_config(text=without), weights))
    assert 'bgr_to_rgb=True, the detector has none, which means False' in said
    assert 'style=caffe, the detector has none, which means pytorch' in said


def test_the_preprocessor_nearest_to_the_backbone_is_compared():
    model = ConfigDict(data_preprocessor=dict(type='MultiBranchDataPreprocessor'),
                       detector=dict(data_preprocessor=dict(bgr_to_rgb=True), parts=dict(backbone=dict())))
    assert _preprocessor_of(model, 'detector.parts.backbone') == dict(bgr_to_rgb=True)
    del model.detector['data_preprocessor']
    assert _preprocessor_of(model, 'detector.parts.backbone') == model.data_preprocessor
    assert _preprocessor_of(ConfigDict(backbone=dict()), 'backbone') == {}


def test_config_without_image_backbone_is_refused(write_config, weights):
    path = write_config(text="model = dict(type='VoxelNet', voxel_encoder=dict(), middle=dict())")
    with pytest.raises(CheckpointError, match='detector.py: no image backbone; expected an img_'
                       'backbone or backbone in the model, found model with type, voxel_encoder, middle'):
        verify_pretrained(path, weights)


PLUGIN = """
from mmdet3d.registry import MODELS
from mmengine.model import BaseModel


@MODELS.register_module(force=True)
class DetectorOfAClone(BaseModel):
    def __init__(self, detector, data_preprocessor=None):
        super().__init__(data_preprocessor)
        self.detector = Inner(**detector)

    def forward(self, *args, **kwargs):
        raise NotImplementedError


class Inner(BaseModel):
    def __init__(self, pts_encoder, img_backbone):
        super().__init__()
        self.pts_encoder = MODELS.build(pts_encoder)
        self.img_backbone = MODELS.build(img_backbone)

    def forward(self, *args, **kwargs):
        raise NotImplementedError
"""
OF_A_CLONE = """
default_scope = 'mmdet3d'
custom_imports = dict(imports=['{package}.detectors'{broken}])
model = dict(
    type='DetectorOfAClone',
    detector=dict(
        pts_encoder=dict(type='{encoder}', in_channels=3, out_channels=[4], layer_nums=[1], layer_strides=[1]),
        img_backbone=dict(type='mmdet.ResNet', depth=18)))
"""


@pytest.fixture
def clone(tmp_path):
    """A clone with a detector of its own, the image backbone inside another part; writes a config of it."""
    def write(package, encoder='SECOND', broken=''):
        folder = tmp_path / 'clone' / package
        folder.mkdir(parents=True)
        (folder / 'detectors.py').write_text(PLUGIN)
        (folder / 'operators.py').write_text('from . import compiled_ext')
        path = tmp_path / 'detector.py'
        path.write_text(OF_A_CLONE.format(package=package, encoder=encoder, broken=broken))
        return path
    return write


def test_nested_backbone_of_a_clone_on_the_path(clone, weights, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path / 'clone'))
    report = verify_pretrained(clone('clone_on_path'), weights)
    assert report.ok and 'model.detector.img_backbone (ResNet)' in report.backbone


def test_clone_that_is_not_on_the_path_is_one_message(clone, weights):
    with pytest.raises(ConfigError, match=r"detector.py: custom_imports: No module named 'clone_elsewhere'; put the "
                       r'folder that holds these modules on the path, .*PYTHONPATH=/path/to/mmdetection3d$'):
        verify_pretrained(clone('clone_elsewhere'), weights)


@pytest.mark.filterwarnings('ignore:Failed to import')
def test_backbone_only_does_without_what_cannot_be_built(clone, weights, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path / 'clone'))
    config = clone('clone_for_gpu', encoder='EncoderThatNeedsAGPU', broken=", 'clone_for_gpu.operators'")
    with pytest.raises(ConfigError, match='custom_imports: .*compiled_ext'):
        verify_pretrained(config, weights)
    report = verify_pretrained(config, weights, backbone_only=True)
    assert report.ok and 'built alone' in str(report)


def renamed(weights, path, rename):
    """The weights under other keys."""
    tensors = torch.load(weights)['state_dict']
    return path, {rename(key): value for key, value in tensors.items()}


@pytest.mark.parametrize('prefix', ['module.', 'module.img_backbone.', 'module.backbone.'])
def test_wrapped_models_are_loaded_by_their_prefix(write_config, weights, tmp_path, prefix):
    path, tensors = renamed(weights, tmp_path / 'wrapped.pth', lambda key: prefix + key)
    torch.save(dict(state_dict=tensors), path)
    report = verify_pretrained(write_config(), path)
    assert report.ok and report.init_cfg.get('prefix') == (None if prefix == 'module.' else prefix)


def test_safetensors_are_loaded(write_config, weights, tmp_path):
    save_file = pytest.importorskip('safetensors.torch').save_file
    path, tensors = renamed(weights, tmp_path / 'backbone.safetensors', lambda key: f'backbone.{key}')
    save_file(tensors, path)
    report = verify_pretrained(write_config(), path)
    assert report.ok and len(report.loaded) == len(tensors)


def test_moving_average_alone_is_converted_first(write_config, weights, tmp_path):
    path, tensors = renamed(weights, tmp_path / 'ema.pth', lambda key: f'module.img_backbone.{key}')
    torch.save(dict(ema_state_dict={**tensors, 'steps': torch.tensor(3)}), path)
    with pytest.raises(CheckpointError, match=r"ema.pth holds its weights in 'ema_state_dict', where MMEngine does "
                       r'not look for them\. .*: simipu convert .*ema.pth backbone.pth --to mmdet$'):
        verify_pretrained(write_config(), path)
    convert_checkpoint(path, 'mmdet', tmp_path / 'converted.pth')
    assert verify_pretrained(write_config(), tmp_path / 'converted.pth').ok
