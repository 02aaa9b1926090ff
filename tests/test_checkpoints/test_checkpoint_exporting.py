"""The exported file holds exactly the backbone, and every consumer of it loads every tensor."""
import errno
import os

import pytest
import torch
from mmdet.models import ResNet

from simipu.checkpoints import convert_checkpoint, export_backbone, read_state_dict
from simipu.errors import CheckpointError, OutputError


@pytest.fixture
def exported(training_checkpoint, tmp_path):
    path = tmp_path / 'new_folder' / 'backbone.pth'
    export_backbone(training_checkpoint, path)
    return path


def backbone_of(checkpoint):
    return {key.removeprefix('img_backbone.'): value
            for key, value in read_state_dict(checkpoint).items()}


def assert_equal(tensors, expected):
    assert tensors.keys() == expected.keys()
    assert all(torch.equal(tensors[key], expected[key]) for key in expected)


def test_export_holds_the_bare_backbone_and_nothing_else(training_checkpoint, exported):
    content = torch.load(exported, weights_only=True)
    assert content.keys() == {'meta', 'state_dict'}
    assert_equal(content['state_dict'], backbone_of(training_checkpoint))
    ResNet(18).load_state_dict(content['state_dict'], strict=True)


def test_export_tells_what_the_features_depend_on(exported):
    assert torch.load(exported, weights_only=True)['meta'] == dict(
        source='iter_2.pth', backbone=dict(type='mmdet.ResNet', depth=18, style='pytorch'),
        data_preprocessor=dict(mean=[103.53, 116.28, 123.675], std=[1.0] * 3, bgr_to_rgb=False))


def test_detector_loads_the_export_by_init_cfg(training_checkpoint, exported):
    net = ResNet(18, init_cfg=dict(type='Pretrained', checkpoint=str(exported)))
    net.init_weights()
    assert_equal(net.state_dict(), backbone_of(training_checkpoint))


def test_detector_loads_a_training_checkpoint_by_init_cfg_with_prefix(training_checkpoint):
    net = ResNet(18, init_cfg=dict(
        type='Pretrained', checkpoint=str(training_checkpoint), prefix='img_backbone.'))
    net.init_weights()
    assert_equal(net.state_dict(), backbone_of(training_checkpoint))


def test_views_are_exported_without_the_storage_behind_them(tmp_path):
    storage = torch.arange(1_000_000.)
    views = {'img_backbone.row': storage[:4], 'img_backbone.transposed': storage[:6].view(2, 3).T}
    torch.save({'state_dict': views}, tmp_path / 'views.pth')
    export_backbone(tmp_path / 'views.pth', tmp_path / 'out.pth')
    tensors = read_state_dict(tmp_path / 'out.pth')
    assert all(tensor.is_contiguous() for tensor in tensors.values())
    assert tensors['transposed'].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert (tmp_path / 'out.pth').stat().st_size < 10_000


def test_checkpoint_of_another_model_is_refused(tmp_path):
    path = tmp_path / 'detector.pth'
    torch.save({'backbone.conv1.weight': torch.ones(1), 'backbone.bn1.bias': torch.ones(1),
                'neck.weight': torch.ones(1)}, path)
    with pytest.raises(CheckpointError, match="detector.pth is no SimIPU checkpoint: no key starts "
                       r"with 'img_backbone.'; found backbone.\* \(2\), neck.\* \(1\). Give a"):
        export_backbone(path, tmp_path / 'out.pth')
    assert not (tmp_path / 'out.pth').exists()


def test_failed_write_keeps_the_old_file(training_checkpoint, exported, monkeypatch):
    before = exported.read_bytes()

    def disk_full(descriptor):
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(os, 'fsync', disk_full)
    with pytest.raises(OutputError, match=r'backbone.pth cannot be written \(No space left on device\): it needs '
                       r'44\.\d MB, and \S+ MB are free in .*new_folder'):
        export_backbone(training_checkpoint, exported)
    assert exported.read_bytes() == before
    assert [path.name for path in exported.parent.iterdir()] == [exported.name]


@pytest.mark.parametrize('write', [export_backbone, lambda path, out: convert_checkpoint(path, 'mmdet', out)])
def test_weights_that_are_nan_are_refused(tmp_path, write):
    weights = {'img_backbone.conv1.weight': torch.ones(3), 'img_backbone.bn1.bias': torch.tensor([1, float('nan')])}
    torch.save({'state_dict': weights}, tmp_path / 'iter_2.pth')
    with pytest.raises(CheckpointError, match=r'iter_2.pth: 1 of 2 tensors hold NaN or infinity \(\S*bn1.bias\)'):
        write(tmp_path / 'iter_2.pth', tmp_path / 'out.pth')
    assert not (tmp_path / 'out.pth').exists()
