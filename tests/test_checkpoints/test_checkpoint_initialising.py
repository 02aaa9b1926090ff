"""A pre-training starts from the file that its config names, or says why not."""
import pytest
import torch
from mmdet.models import ResNet
from mmdet3d.registry import MODELS
from mmengine.registry import DefaultScope

from simipu.errors import CheckpointError, user_message


def pretraining(checkpoint, depth=18):
    projectors = dict(query_projector=dict(type='ProjectionMLP', in_channels=512, out_channels=4),
                      key_projector=dict(type='ProjectionMLP', in_channels=32, out_channels=4))
    config = dict(
        type='SimIPU',
        img_backbone=dict(type='mmdet.ResNet', depth=depth,
                          init_cfg=dict(type='Pretrained', checkpoint=str(checkpoint))),
        point_encoder=dict(type='PointNet2Encoder', num_points=(8,), radii=((1.,),),
                           num_samples=((4,),), sa_channels=(((32,),),), aggregation_channels=(None,),
                           fps_mods=('D-FPS',), fps_sample_range_lists=(-1,)),
        inter_head=dict(type='ContrastiveHead', detach_key=None, **projectors))
    with DefaultScope.overwrite_default_scope('mmdet3d'):
        return MODELS.build(config)


@pytest.fixture
def imagenet(tmp_path, randomize):
    """The file of a classifier in torchvision's layout."""
    weights = randomize(ResNet(18)).state_dict()
    torch.save({**weights, 'fc.weight': torch.ones(1000, 512)}, tmp_path / 'imagenet.pth')
    return tmp_path / 'imagenet.pth', weights


def warnings_of(monkeypatch):
    lines = []
    monkeypatch.setattr('simipu.checkpoints.initialising.print_log',
                        lambda text, **kwargs: lines.append(text))
    return lines


def test_backbone_starts_from_the_file(imagenet, monkeypatch):
    path, weights = imagenet
    warnings = warnings_of(monkeypatch)
    model = pretraining(path)
    model.init_weights()
    torch.testing.assert_close(dict(model.img_backbone.state_dict()), dict(weights))
    assert not warnings


def test_missing_file_names_the_key(tmp_path):
    with pytest.raises(CheckpointError) as info:
        pretraining(tmp_path / 'none.pth').init_weights()
    assert user_message(info.value).startswith(
        f'model.img_backbone.init_cfg.checkpoint: no file {tmp_path}/none.pth; put the weights there')


def test_a_file_in_a_list_is_looked_for_as_well(tmp_path):
    model = pretraining('unused.pth')
    model.img_backbone.init_cfg = [dict(type='Kaiming', layer='Conv2d'),
                                   dict(type='Pretrained', checkpoint=str(tmp_path / 'none.pth'))]
    with pytest.raises(CheckpointError, match='no file .*none.pth'):
        model.init_weights()


def test_what_the_file_lacks_is_told(imagenet, monkeypatch):
    warnings = warnings_of(monkeypatch)
    pretraining(imagenet[0], depth=34).init_weights()
    assert len(warnings) == 1 and 'layer1.2.conv1.weight' in warnings[0]
    assert warnings[0].startswith('model.img_backbone: 48 of 108 tensors did not change when')


def test_file_of_another_model_is_refused(tmp_path):
    torch.save({'stages.0.weight': torch.ones(1)}, tmp_path / 'other.pth')
    with pytest.raises(CheckpointError, match='other.pth holds nothing of this backbone'):
        pretraining(tmp_path / 'other.pth').init_weights()
