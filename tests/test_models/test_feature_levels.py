"""Several levels of image features against one at a time, and a neck that is thrown away."""
import pytest
import torch
from mmdet3d.registry import MODELS
from test_simipu import build, frames, model_config

from simipu.checkpoints import export_backbone
from simipu.errors import ConfigError


class PlantedPyramid(torch.nn.Module):
    """A 'backbone' that returns the picture pooled to strides 2, 4 and 8."""

    def forward(self, images):
        return tuple(torch.nn.functional.avg_pool2d(images, stride) for stride in (2, 4, 8))


MODELS.register_module(module=PlantedPyramid, force=True)


def build_levels(img_level, **kwargs):
    head = model_config()['inter_head']
    heads = head if isinstance(img_level, int) else [head] * len(img_level)
    return build(img_backbone=dict(type='PlantedPyramid'), img_level=img_level, inter_head=heads,
                 **kwargs)


def test_each_level_has_the_loss_of_a_model_of_that_level():
    several = build_levels((0, 2))
    losses = several(*frames(), mode='loss')
    assert {name for name in losses if name.startswith('loss')} == {
        'loss_inter_level0', 'loss_inter_level2', 'loss_intra'}
    for level, head in zip((0, 2), several.inter_head):
        single = build_levels(level)
        single.inter_head.load_state_dict(head.state_dict())
        expected = single(*frames(), mode='loss')
        for name in ('loss', 'acc_top1', 'acc_top5'):
            assert torch.equal(losses[f'{name}_inter_level{level}'], expected[f'{name}_inter'])
        assert losses['pairs_inter'] == expected['pairs_inter']
    assert losses['loss_inter_level0'] != losses['loss_inter_level2']


def test_training_sums_the_losses_of_all_levels():
    model = build_levels([0, 1, 2])
    losses = model(*frames(), mode='loss')
    total, _ = model.parse_losses(losses)
    torch.testing.assert_close(total, losses['loss_intra'] + sum(
        losses[f'loss_inter_level{level}'] for level in range(3)))


def test_validation_looks_at_the_last_level():
    several, single = build_levels((0, 1)), build_levels(1)
    single.inter_head.load_state_dict(several.inter_head[1].state_dict())
    inputs, samples = frames()
    torch.testing.assert_close(several.extract_image_features(inputs['imgs']),
                               single.extract_image_features(inputs['imgs']))
    predictions = [model.eval()(*frames(), mode='predict') for model in (several, single)]
    for ours, expected in zip(*predictions):
        for name in ('image_embedding', 'point_embedding', 'pixel_feature', 'pixel_depth'):
            assert torch.equal(ours.get(name), expected.get(name)), name


def test_levels_and_heads_must_correspond():
    head = model_config()['inter_head']
    for options in (dict(img_level=(0, 1)), dict(inter_head=[head]),
                    dict(img_level=(0, 1), inter_head=[head] * 3)):
        with pytest.raises(ValueError, match='every level of img_level needs a head of its own'):
            build(**options)


def test_a_level_that_the_backbone_does_not_return_is_named():
    model = build_levels([0, 1])
    model.img_level = (0, 5)
    with pytest.raises(ConfigError, match=r'img_level=\(0, 5\), but the backbone .* returns . feature maps'):
        model(*frames(), mode='loss')


def test_one_level_has_the_keys_of_the_released_weights():
    assert {name.split('.')[0] for name in build().inter_head.state_dict()} == {
        'query_projector', 'key_projector'}


def test_a_neck_is_trained_with_the_backbone_and_left_out_of_the_export(tmp_path):
    projectors = dict(query_projector=dict(type='ProjectionMLP', in_channels=16, out_channels=4),
                      key_projector=dict(type='ProjectionMLP', in_channels=3, out_channels=4))
    model = build(
        img_backbone=dict(type='mmdet.ResNet', depth=18, num_stages=3, strides=(1, 2, 2),
                          dilations=(1, 1, 1), out_indices=(1, 2), base_channels=8),
        img_neck=dict(type='mmdet.FPN', in_channels=[16, 32], out_channels=16, num_outs=2),
        img_level=(0, 1), inter_head=[dict(type='ContrastiveHead', **projectors)] * 2)
    total, _ = model.parse_losses(model(*frames(), mode='loss'))
    total.backward()
    assert not [name for name, value in model.named_parameters() if value.grad is None]
    torch.save({'state_dict': model.state_dict()}, tmp_path / 'simipu.pth')
    exported = export_backbone(tmp_path / 'simipu.pth', tmp_path / 'backbone.pth')
    assert exported.keys() == model.img_backbone.state_dict().keys()
