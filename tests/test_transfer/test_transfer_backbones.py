"""Backbones from every kind of file, and files that do not fit."""
import pytest
import torch

from simipu.errors import CheckpointError
from simipu.evaluation.transfer import build_backbone, feature_level
from simipu.evaluation.transfer.backbones import has_own_random_weights


@pytest.mark.parametrize('prefix', ['img_backbone.', 'backbone.', ''])
def test_weights_of_every_layout(bright_cfg, tmp_path, prefix):
    source = build_backbone(bright_cfg, seed=5).state_dict()
    # torchvision's and deeper files hold more than the backbone has.
    content = {prefix + name: value for name, value in {**source, 'fc.weight': torch.ones(2)}.items()}
    torch.save(dict(state_dict=content), tmp_path / 'file.pth')
    loaded = build_backbone(bright_cfg, str(tmp_path / 'file.pth'), seed=0).state_dict()
    assert loaded.keys() == source.keys()
    assert all(torch.equal(value, source[name]) for name, value in loaded.items())


def test_tensors_that_are_missing_or_of_another_shape_are_named(bright_cfg, tmp_path):
    weights = build_backbone(bright_cfg).state_dict()
    del weights['layer2.0.conv1.weight'], weights['bn1.num_batches_tracked']
    weights['conv1.weight'] = torch.zeros(4, 3, 7, 7)
    torch.save(weights, tmp_path / 'file.pth')
    with pytest.raises(CheckpointError, match=r'1 of \d+ tensors missing \(layer2.0.conv1.weight\), 1 of '
                       r'another shape \(conv1.weight \(4, 3, 7, 7\) instead of \(8, 3, 7, 7\)\)'):
        build_backbone(bright_cfg, str(tmp_path / 'file.pth'))


def test_random_weights_follow_the_seed_and_ignore_pretrained(bright_cfg):
    bright_cfg.model.img_backbone.init_cfg = None
    first = build_backbone(bright_cfg, seed=1).conv1.weight
    bright_cfg.model.img_backbone.init_cfg = dict(type='Pretrained', checkpoint='nowhere.pth')
    assert torch.equal(build_backbone(bright_cfg, seed=1).conv1.weight, first)
    assert not torch.equal(build_backbone(bright_cfg, seed=2).conv1.weight, first)
    from_file = dict(type='Pretrained', checkpoint='nowhere.pth')
    bright_cfg.model.img_backbone.init_cfg = [from_file]
    assert torch.equal(build_backbone(bright_cfg, seed=1).conv1.weight, first)
    bright_cfg.model.img_backbone.init_cfg = [dict(type='Constant', layer='Conv2d', val=3.0), from_file]
    assert (build_backbone(bright_cfg, seed=1).conv1.weight == 3).all()


def test_whose_random_weights_a_config_has(bright_cfg):
    backbone = bright_cfg.model.img_backbone
    for init_cfg, own in (([], True), ([dict(type='Kaiming', layer='Conv2d')], True), (None, False),
                          (dict(type='Pretrained', checkpoint='nowhere.pth'), False),
                          ([dict(type='Pretrained', checkpoint='nowhere.pth')], False)):
        backbone.init_cfg = init_cfg
        assert has_own_random_weights(bright_cfg) is own
    del backbone['init_cfg']
    assert not has_own_random_weights(bright_cfg)


def test_level_is_the_contrasted_one(bright_cfg):
    for level, expected in ((1, 1), ([0, 2], 2)):
        bright_cfg.model.img_level = level
        assert feature_level(bright_cfg) == expected
    bright_cfg.model.img_neck = dict(type='mmdet.FPN')
    assert feature_level(bright_cfg) == -1


def test_random_weights_as_the_config_or_the_class_draws_them(bright_cfg):
    """Both have closed forms: PyTorch's is uniform within 1 / sqrt(fan in), mmdet's normal by fan out."""
    assert bright_cfg.model.img_backbone.init_cfg == []
    of_config = build_backbone(bright_cfg).layer3[1].conv2.weight.detach()
    of_class = build_backbone(bright_cfg, class_init=True).layer3[1].conv2.weight.detach()
    fan = of_config[0].numel()  # as many channels go in as out
    assert of_config.abs().max() <= fan**-0.5
    assert of_config.std() == pytest.approx((3 * fan)**-0.5, rel=0.05)
    assert of_class.std() == pytest.approx((2 / fan)**0.5, rel=0.05)
