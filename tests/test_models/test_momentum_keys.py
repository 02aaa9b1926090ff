"""Keys of moving averages, by hand on small frames."""
import pytest
import torch
from mmdet3d.registry import MODELS
from test_simipu import EveryPoint, build, frames, model_config

from simipu.models.losses import InfoNCELoss
from simipu.models.simipu import features_at_pixels


class LinearPoints(EveryPoint):
    """An 'encoder' with weights: features are a linear map of the coordinates."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(3, 3)

    def forward(self, points, sampling=None):
        every = super().forward(points, sampling)
        return every._replace(features=self.linear(every.features))


MODELS.register_module(module=LinearPoints, force=True)


def build_with_momentum(detach_key='feature', **kwargs):
    inter_head = dict(model_config()['inter_head'], detach_key=detach_key, **kwargs)
    return build(point_encoder=dict(type='LinearPoints'), inter_head=inter_head, key_momentum=0.25)


def trained_weights(model):
    return {name: value.detach().clone() for name, value in model.named_parameters()
            if name.startswith(('point_encoder.', 'inter_head.key_projector.'))}


def averages(model):
    """The same, of the moving averages, under the names of what they follow."""
    names = {'momentum_keys.point_encoder.module.': 'point_encoder.',
             'momentum_keys.projectors.0.module.': 'inter_head.key_projector.'}
    return {new + name.removeprefix(old): value for name, value in model.named_parameters()
            for old, new in names.items() if name.startswith(old)}


def disturb(model):
    with torch.no_grad():
        for value in model.parameters():
            if value.requires_grad:
                value.add_(torch.randn_like(value) * 0.1)


def test_averages_start_at_the_trained_weights_and_follow_them_in_training():
    model = build_with_momentum()
    disturb(model)  # as init_weights would, after the averages were made
    model(*frames(), mode='loss')
    first = trained_weights(model)
    assert averages(model).keys() == first.keys() and len(first) == 2 + 3 * 4
    torch.testing.assert_close(averages(model), first)
    disturb(model)
    model(*frames(), mode='loss')
    second = trained_weights(model)
    expected = {name: 0.75 * first[name] + 0.25 * second[name] for name in first}
    torch.testing.assert_close(averages(model), expected)
    disturb(model)
    model.eval()(*frames(), mode='loss')
    torch.testing.assert_close(averages(model), expected)


@pytest.mark.parametrize('detach_key', ['feature', 'projection', None])
def test_pixels_look_for_averaged_keys_and_keys_for_pixels(detach_key):
    model = build_with_momentum(detach_key, queue_size=50)
    inputs, samples = frames()
    model(inputs, samples, mode='loss')
    past = model.inter_head.queue.keys().clone()
    disturb(model)
    model(inputs, samples, mode='loss')  # moves the averages

    points = model.point_encoder(inputs['points'])
    pairs = model.pair_pixels_with_points(points, inputs, samples)
    pixels = features_at_pixels(pairs, model.extract_image_features(inputs['imgs']), (32, 64))
    query = model.inter_head.query_projector(pixels)
    key = model.inter_head.key_projector(pairs.point_features)
    slow = model.momentum_keys.point_encoder.module(inputs['points']).features
    slow = model.momentum_keys.projectors[0].module(slow[pairs.frame, pairs.index])
    assert not torch.allclose(slow, key, atol=1e-2)
    contrast = InfoNCELoss(mask_same_cell=False)
    forward = contrast(query, slow, extra_keys=past).loss
    expected = forward if detach_key == 'projection' else (forward + contrast(key, query).loss) / 2
    model.inter_head.loss_module.mask_same_cell = False
    model.inter_head.queue.rows[:len(past)] = past
    model.inter_head.queue.num_enqueued.fill_(len(past))
    losses = model.inter_head.loss(pixels, pairs.point_features, momentum_keys=slow)
    torch.testing.assert_close(losses['loss'], expected)


@pytest.mark.parametrize('detach_key, learning', [
    ('feature', {'inter_head.query_projector', 'inter_head.key_projector'}),
    ('projection', {'inter_head.query_projector'}),
    (None, {'inter_head.query_projector', 'inter_head.key_projector', 'point_encoder.linear'})])
def test_what_the_inter_modal_loss_trains(detach_key, learning):
    model = build_with_momentum(detach_key)
    model(*frames(), mode='loss')['loss_inter'].backward()
    assert {'.'.join(name.split('.')[:2]) for name, value in model.named_parameters()
            if value.grad is not None and value.grad.any()} == learning
    assert not any(value.requires_grad for value in model.momentum_keys.parameters())


def test_resumed_averages_and_queue_give_the_loss_that_would_have_been():
    model = build_with_momentum(queue_size=30)
    model(*frames(), mode='loss')
    disturb(model)
    resumed = build_with_momentum(queue_size=30)
    resumed.load_state_dict(model.state_dict(), strict=True)
    losses = [net(*frames(seed=1), mode='loss')['loss_inter'] for net in (model, resumed)]
    assert torch.equal(*losses)


def test_a_model_without_momentum_and_queue_has_the_same_keys_as_ever():
    extra = set(build_with_momentum(queue_size=9).state_dict()) - set(
        build(point_encoder=dict(type='LinearPoints')).state_dict())
    assert {name.split('.')[0] for name in extra} == {'momentum_keys', 'inter_head'}
    assert {name for name in extra if name.startswith('inter_head')} == {
        'inter_head.queue.rows', 'inter_head.queue.num_enqueued'}
