"""Converted weights fit the other library's model and compute the same features there.

torchvision cannot be installed beside a CPU build of PyTorch, and timm imports it, so both are
stood in for by a ResNet written here under their (shared) names, and by the recorded entries of
theirs; where they, mmsegmentation or mmpretrain are installed, these are used.
"""
import importlib
import json
from pathlib import Path

import pytest
import torch
from mmdet.models import ResNet
from mmdet3d.models import PointNet2SAMSG
from mmdet3d.registry import MODELS
from mmengine.config import Config
from torch import nn

from simipu.checkpoints import convert, convert_checkpoint, detect_layout, read_state_dict
from simipu.errors import CheckpointError
from simipu.models.projection_mlp import ProjectionMLP

ORIGINAL_MODEL = dict(
    type='SimIPU',
    img_backbone=dict(type='mmdet.ResNet', depth=50),
    point_encoder=dict(type='PointNet2Encoder', in_channels=4),
    matcher=dict(type='HungarianMatcher'),
    intra_head=dict(type='ContrastiveHead',
                    query_projector=dict(type='ProjectionMLP', in_channels=1024)),
    inter_head=dict(type='ContrastiveHead',
                    query_projector=dict(type='ProjectionMLP', in_channels=2048),
                    key_projector=dict(type='ProjectionMLP', in_channels=1024)))
ORIGINAL_POINT_ENCODER = dict(
    in_channels=4, num_points=(4096, 1024, (512, 512)),
    radii=((0.2, 0.4, 0.8), (0.4, 0.8, 1.6), (1.6, 3.2, 4.8)),
    num_samples=((32, 32, 64), (32, 32, 64), (32, 32, 32)),
    sa_channels=(((32, 32, 64), (32, 32, 64), (64, 64, 128)),
                 ((64, 64, 128), (64, 64, 128), (128, 128, 256)),
                 ((128, 128, 256), (128, 128, 256), (256, 256, 512))),
    aggregation_channels=(128, 256, 1024), fps_mods=('D-FPS', 'FS', ('F-FPS', 'D-FPS')),
    fps_sample_range_lists=(-1, -1, (512, -1)), out_indices=(2, ),
    sa_cfg=dict(type='PointSAModuleMSG', pool_mod='max', use_xyz=False, normalize_xyz=False))


class Block(nn.Module):
    """torchvision's BasicBlock (expansion 1) and Bottleneck (expansion 4) under its names."""

    def __init__(self, inputs, width, stride, expansion):
        super().__init__()
        outputs = width * expansion
        shapes = ([(inputs, width, 1, 1), (width, width, 3, stride), (width, outputs, 1, 1)]
                  if expansion == 4 else [(inputs, width, 3, stride), (width, outputs, 3, 1)])
        self.count = len(shapes)
        for i, (a, b, kernel, step) in enumerate(shapes, 1):
            self.add_module(f'conv{i}', nn.Conv2d(a, b, kernel, step, kernel // 2, bias=False))
            self.add_module(f'bn{i}', nn.BatchNorm2d(b))
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = x
        for i in range(1, self.count + 1):
            y = getattr(self, f'bn{i}')(getattr(self, f'conv{i}')(y))
            y = y if i == self.count else y.relu()
        return (y + (x if self.downsample is None else self.downsample(x))).relu()


class TorchvisionResNet(nn.Module):
    """The network of torchvision's ``resnet18`` and ``resnet50``, classifier included."""

    def __init__(self, depth):
        super().__init__()
        counts, expansion = {18: ((2, 2, 2, 2), 1), 50: ((3, 4, 6, 3), 4)}[depth]
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        inputs = 64
        for stage, count in enumerate(counts):
            blocks = []
            for index in range(count):
                stride = 2 if stage > 0 and index == 0 else 1
                blocks.append(Block(inputs, 64 * 2**stage, stride, expansion))
                inputs = 64 * 2**stage * expansion
            self.add_module(f'layer{stage + 1}', nn.Sequential(*blocks))
        self.fc = nn.Linear(inputs, 1000)

    def forward(self, x):
        x = nn.functional.max_pool2d(self.bn1(self.conv1(x)).relu(), 3, 2, 1)
        for stage in range(1, 5):
            x = getattr(self, f'layer{stage}')(x)
        return x


class OriginalMLP(nn.Module):
    """The original's projection under its names: layerN = (linear, batch norm)."""

    def __init__(self, width):
        super().__init__()
        for i, outputs in enumerate((width, width, 128), 1):
            self.add_module(f'layer{i}', nn.Sequential(nn.Linear(width, outputs),
                                                       nn.BatchNorm1d(outputs)))

    def forward(self, x):
        return self.layer3(self.layer2(self.layer1(x).relu()).relu())


@pytest.fixture(scope='module')
def images():
    return torch.randn(1, 3, 64, 96)


@pytest.fixture(scope='module')
def released(reference):
    """Random values under the keys of the released checkpoints."""
    shapes = json.loads((reference / 'released_checkpoint_keys.json').read_text())
    tensors = {}
    for key, shape in shapes['model'].items():
        is_counter = shapes['dtypes'].get(key) == 'torch.int64'
        tensors[key] = torch.tensor(7) if is_counter else torch.rand(shape)
    return tensors


@torch.no_grad()
def features(net, images):
    out = net(images)
    return out[-1] if isinstance(out, (tuple, list)) else out


def pretrained(net):
    """The state dict that SimIPU would have with this image backbone."""
    return {f'img_backbone.{key}': value for key, value in net.state_dict().items()} | {
        'point_encoder.a.weight': torch.ones(1)}


def take(state_dict, prefix):
    return {key.removeprefix(prefix): value for key, value in state_dict.items()
            if key.startswith(prefix)}


def test_released_keys_convert_with_nothing_left_over(released):
    ours, dropped = convert(released, 'ours')
    assert sorted(dropped) == ['img_conv1x1_1.bias', 'img_conv1x1_1.weight',
                               'img_conv1x1_2.bias', 'img_conv1x1_2.weight']
    assert len(ours) + len(dropped) == len(released) == 595
    kept = {id(value) for key, value in released.items() if key not in dropped}
    assert {id(value) for value in ours.values()} == kept
    MODELS.build(ORIGINAL_MODEL).load_state_dict(ours, strict=True)
    theirs = PointNet2SAMSG(**ORIGINAL_POINT_ENCODER)
    theirs.load_state_dict(take(ours, 'point_encoder.'), strict=True)


@pytest.mark.parametrize('original, ours, width', [
    ('mlp_intro_points.', 'intra_head.query_projector.', 1024),
    ('mlp_cross_img.', 'inter_head.query_projector.', 2048),
    ('mlp_cross_points.', 'inter_head.key_projector.', 1024)])
def test_released_projections_compute_the_same_embeddings(released, original, ours, width):
    theirs, mine = OriginalMLP(width), ProjectionMLP(width)
    theirs.load_state_dict(take(released, original), strict=True)
    mine.load_state_dict(take(convert(released, 'ours').state_dict, ours), strict=True)
    x = torch.randn(5, width)
    theirs.eval(), mine.eval()
    with torch.no_grad():
        torch.testing.assert_close(mine(x), theirs(x))


def test_original_and_ours_convert_back_and_forth(released):
    ours = convert(released, 'ours').state_dict
    back = convert(ours, 'original').state_dict
    assert {key: id(value) for key, value in back.items()} == {
        key: id(value) for key, value in released.items() if not key.startswith('img_conv1x1')}


def test_the_original_takes_pointnet2_alone_and_no_depth_head(released):
    ours = convert(released, 'ours').state_dict
    with_head = convert({**ours, 'depth_head.layers.0.weight': torch.ones(1)}, 'original')
    assert with_head.dropped == ['depth_head.layers.0.weight']
    assert with_head.state_dict.keys() == convert(ours, 'original').state_dict.keys()
    with pytest.raises(CheckpointError, match="expected PointNet.*found 'point_encoder.levels.0.weight'"):
        convert({**ours, 'point_encoder.levels.0.weight': torch.ones(1)}, 'original')


@pytest.mark.parametrize('depth', [18, 50])
@pytest.mark.parametrize('to', ['torchvision', 'timm'])
def test_torchvision_layout_computes_the_same_features(tmp_path, images, randomize, depth, to):
    ours = randomize(ResNet(depth))
    torch.save({'state_dict': pretrained(ours)}, tmp_path / 'simipu.pth')
    dropped = convert_checkpoint(tmp_path / 'simipu.pth', to, tmp_path / 'out.pth').dropped
    assert dropped == ['point_encoder.a.weight']
    theirs = TorchvisionResNet(depth)
    theirs.fc = nn.Identity()
    theirs.load_state_dict(torch.load(tmp_path / 'out.pth', weights_only=True), strict=True)
    theirs.eval()
    torch.testing.assert_close(features(theirs, images), features(ours, images))


def test_torchvision_weights_start_a_pretraining(images, randomize):
    theirs = randomize(TorchvisionResNet(18))
    ours, dropped = convert(theirs.state_dict(), 'ours')
    assert dropped == ['fc.weight', 'fc.bias']
    net = ResNet(18)
    net.load_state_dict(take(ours, 'img_backbone.'), strict=True)
    net.eval()
    torch.testing.assert_close(features(net, images), features(theirs, images))


def test_mmdet_layout_is_the_bare_backbone(images, randomize):
    ours, theirs = randomize(ResNet(18)), ResNet(18)
    theirs.load_state_dict(convert(pretrained(ours), 'mmdet').state_dict, strict=True)
    theirs.eval()
    torch.testing.assert_close(features(theirs, images), features(ours, images))


@pytest.mark.parametrize('to', ['mmseg', 'mmpretrain'])
def test_openmmlab_layouts_compute_the_same_features(tmp_path, images, randomize, to):
    models = pytest.importorskip(f'{to}.models', exc_type=ImportError)
    ours = randomize(ResNet(50))
    torch.save({'state_dict': pretrained(ours)}, tmp_path / 'simipu.pth')
    convert_checkpoint(tmp_path / 'simipu.pth', to, tmp_path / 'out.pth')
    theirs = nn.Module()
    theirs.backbone = models.ResNet(depth=50)
    theirs.load_state_dict(read_state_dict(tmp_path / 'out.pth'), strict=True)
    theirs.backbone.eval()
    torch.testing.assert_close(features(theirs.backbone, images), features(ours, images))


def library_resnet50(library):
    """The library's own ResNet-50, classifier included, or the reason why there is none."""
    try:
        if library == 'timm':
            return importlib.import_module('timm').create_model('resnet50')
        return importlib.import_module('torchvision.models').resnet50()
    except (ImportError, RuntimeError) as error:  # torchvision's CUDA build beside a CPU torch
        pytest.skip(f'{library} cannot be imported: {error}')


@pytest.mark.parametrize('library', ['torchvision', 'timm'])
def test_the_library_itself_computes_the_same_features(library, images, randomize):
    ours, theirs = randomize(ResNet(50)), library_resnet50(library)
    missing, unexpected = theirs.load_state_dict(
        convert(pretrained(ours), library).state_dict, strict=False)
    assert missing == ['fc.weight', 'fc.bias'] and not unexpected
    theirs.eval()
    outputs = []
    theirs.layer4.register_forward_hook(lambda module, inputs, output: outputs.append(output))
    features(theirs, images)
    torch.testing.assert_close(outputs[0], features(ours, images), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize('library', ['torchvision', 'timm'])
def test_export_lacks_nothing_of_the_library_s_resnet50_but_the_classifier(library):
    recorded = json.loads((Path(__file__).parent / 'resnet50_keys.json').read_text())['shapes']
    exported = convert(pretrained(ResNet(50)), library).state_dict
    classifier = {'fc.weight': [1000, 2048], 'fc.bias': [1000]}
    assert {name: list(value.shape) for name, value in exported.items()} | classifier == recorded


def test_other_models_keep_only_their_backbone():
    detector = {'backbone.conv1.weight': torch.ones(1), 'neck.convs.weight': torch.ones(1)}
    ours, dropped = convert(detector, 'ours')
    assert list(ours) == ['img_backbone.conv1.weight']
    assert dropped == ['neck.convs.weight']


def test_caffe_style_is_refused_where_it_would_compute_other_features(tmp_path, images, randomize):
    caffe, theirs = randomize(ResNet(50, style='caffe')), TorchvisionResNet(50)
    theirs.fc = nn.Identity()
    theirs.load_state_dict(caffe.state_dict(), strict=True)  # every key and shape fits
    theirs.eval()
    assert not torch.allclose(features(theirs, images), features(caffe, images), rtol=0.1)

    cfg = Config(dict(model=dict(img_backbone=dict(type='mmdet.ResNet', style='caffe'))))
    torch.save({'state_dict': pretrained(caffe), 'meta': {'cfg': cfg.pretty_text}},
               tmp_path / 'caffe.pth')
    with pytest.raises(CheckpointError, match="caffe.pth: .* style='caffe'.*Convert to mmdet"):
        convert_checkpoint(tmp_path / 'caffe.pth', 'timm', tmp_path / 'out.pth')
    convert_checkpoint(tmp_path / 'caffe.pth', 'mmseg', tmp_path / 'out.pth')


@pytest.mark.parametrize('options', [dict(deep_stem=True),
                                     dict(dcn=dict(type='DCNv2', deform_groups=1),
                                          stage_with_dcn=(False, False, False, True))])
def test_resnets_that_torchvision_does_not_have_are_refused(options):
    with pytest.raises(CheckpointError, match='torchvision has no such backbone: expected a plain'):
        convert(pretrained(ResNet(50, **options)), 'torchvision')


def test_unknown_sources_and_targets_are_refused():
    with pytest.raises(CheckpointError, match=r"unknown kind of model, with keys net.\* \(1\)"):
        detect_layout({'net.weight': torch.ones(1)})
    with pytest.raises(CheckpointError, match="unknown layout 'keras'; choose from ours, original"):
        convert({'img_backbone.conv1.weight': torch.ones(1)}, 'keras')
    with pytest.raises(CheckpointError, match="'pts_neck.weight' has no counterpart: the original"):
        convert({'mlp_cross_img.layer1.0.bias': torch.ones(1), 'pts_neck.weight': torch.ones(1)},
                'ours')
