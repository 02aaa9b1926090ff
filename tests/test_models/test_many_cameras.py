"""Pairs of many cameras: features, budget and occlusion against the straightforward version."""
import numpy as np
import pytest
import torch
from test_simipu import HEIGHT, WIDTH, build, frames

from simipu.geometry import project_to_cameras, sample_features
from simipu.models.simipu import feature_cell


def rig(num_frames=2, num_cameras=3, **kwargs):
    """Cameras of different intrinsics and image sizes, one of which sees nothing."""
    inputs, samples = frames(num_frames, num_cameras, **kwargs)
    for sample in samples:
        shifted = sample.lidar2img.copy()
        shifted[:, 0] += np.array([0, 9, 1e4])[:num_cameras, None] * shifted[:, 2]
        sizes = [(HEIGHT, WIDTH), (HEIGHT - 6, WIDTH - 20), (HEIGHT, WIDTH)][:num_cameras]
        sample.set_metainfo(dict(lidar2img=shifted, ori_shape=sizes, img_shape=sizes))
    return inputs, samples


def every_point_of_every_camera(model, inputs, samples):
    """Image feature of each visible pair, sampled at all points of all images, visible or not."""
    geometry = [torch.from_numpy(np.stack([np.asarray(sample.metainfo[name], dtype=np.float64)
                                           for sample in samples]))
                for name in ('lidar2img', 'img_aug_matrix', 'ori_shape', 'img_shape')]
    points = model.point_encoder(inputs['points'])
    pixels, _, visible = project_to_cameras(points.xyz.double(), *geometry)
    feature_map = model.extract_image_features(inputs['imgs'])
    sampled = sample_features(feature_map, pixels.float().flatten(0, 1), (HEIGHT, WIDTH))
    frame, camera, index = visible.nonzero(as_tuple=True)
    return (sampled.unflatten(0, visible.shape[:2])[frame, camera, index],
            points.features[frame, index], visible)


@pytest.mark.parametrize('num_cameras', [1, 3])
def test_losses_equal_the_straightforward_version_bit_by_bit(num_cameras):
    model = build()
    inputs, samples = rig(num_cameras=num_cameras)
    image, points, visible = every_point_of_every_camera(model, inputs, samples)
    counts = visible.sum(dim=-1).flatten().tolist()
    assert len(set(counts)) > 1 and max(counts) < visible.shape[-1]
    torch.manual_seed(0)
    losses = model(inputs, samples, mode='loss')
    assert losses['pairs_inter'] == sum(counts)
    assert losses['visible_share'] == visible.any(dim=1).float().mean()
    pairs = pair(model, inputs, samples)
    cell = feature_cell(pairs, model.extract_image_features(inputs['imgs']), (HEIGHT, WIDTH))
    expected = model.inter_head.loss(image, points, frame=pairs.frame, position=pairs.position,
                                     cell=cell, point=pairs.index)['loss']
    assert torch.equal(losses['loss_inter'], expected)


def pair(model, inputs, samples):
    return model.pair_pixels_with_points(model.point_encoder(inputs['points']), inputs, samples)


def test_a_second_camera_of_the_same_view_finds_the_same_points():
    inputs, samples = frames(num_cameras=2)
    inputs['imgs'][:, 1] = inputs['imgs'][:, 0]
    one, one_samples = frames(num_cameras=1)
    one['imgs'] = inputs['imgs'][:, :1]
    model = build()
    twice, once = model(inputs, samples, mode='loss'), model(one, one_samples, mode='loss')
    assert twice['pairs_inter'] == 2 * once['pairs_inter']
    assert twice['acc_top1_inter'] == once['acc_top1_inter'] > 0


def test_pair_budget_draws_from_each_frame_at_random_in_training_alone():
    inputs, samples = rig(num_points=80)
    every = pair(build(), inputs, samples)
    counts = torch.bincount(every.frame)
    budget = int(counts.min()) - 5
    model = build(max_pairs_per_frame=budget)
    torch.manual_seed(3)
    some, others = pair(model, inputs, samples), pair(model, inputs, samples)
    torch.manual_seed(3)
    again = pair(model, inputs, samples)
    assert torch.bincount(some.frame).tolist() == [budget] * 2
    assert torch.equal(some.position, again.position)
    assert not torch.equal(some.position, others.position)
    rows = {tuple(row): i for i, row in enumerate(torch.cat(
        [every.position, every.pixel], dim=1).tolist())}
    chosen = [rows[tuple(row)] for row in torch.cat(
        [some.position, some.pixel], dim=1).tolist()]
    assert chosen == sorted(set(chosen))
    assert torch.equal(some.image, every.image[chosen])
    assert torch.equal(some.visible_share, every.visible_share)
    assert len(pair(model.eval(), inputs, samples).frame) == len(every.frame)
    assert len(pair(build(max_pairs_per_frame=10 ** 6), inputs, samples).frame) == len(every.frame)


def test_hidden_points_are_not_paired():
    inputs, samples = frames(num_points=40)
    wall = torch.stack(torch.meshgrid(torch.tensor([3.0]), torch.linspace(-1, 1, 60),
                                      torch.linspace(-1, 1, 60), indexing='ij'), -1).view(-1, 3)
    inputs['points'] = torch.cat([inputs['points'], wall.expand(2, -1, -1)], dim=1)
    inputs['points_aug'] = inputs['points'] * torch.tensor([1.2, -1.2, 1.2])
    seen = pair(build(), inputs, samples)
    unhidden = pair(build(occlusion=dict(cell=2, window=4)), inputs, samples)
    x, y, z = seen.position.T
    behind = (x > 4) & (abs(y / x) < 0.3) & (abs(z / x) < 0.3)
    assert behind.sum() > 10
    kept = {tuple(row) for row in unhidden.position.tolist()}
    assert not any(tuple(row) in kept for row in seen.position[behind].tolist())
    assert kept >= {tuple(row) for row in seen.position[x == 3].tolist()}
    assert unhidden.visible_share < seen.visible_share
    with pytest.raises(TypeError, match='tolerence'):
        build(occlusion=dict(tolerence=1))
