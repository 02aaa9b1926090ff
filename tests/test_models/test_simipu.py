"""The whole model on small made-up frames, whose geometry is known."""
import numpy as np
import pytest
import torch
from mmdet3d.registry import MODELS
from mmdet3d.structures import Det3DDataSample
from mmengine.registry import init_default_scope

from simipu.errors import ConfigError, DataError
from simipu.models.point_encoders import PointFeatures
from simipu.models.simipu import feature_cell, features_at_pixels

HEIGHT, WIDTH, STRIDE = 32, 64, 4


class PlantedImages(torch.nn.Module):
    """A 'backbone' that returns the pooled image: features are known from the picture."""

    def forward(self, images):
        return (torch.nn.functional.avg_pool2d(images, STRIDE),)


class EveryPoint(torch.nn.Module):
    """An 'encoder' that returns every point with its coordinates as features."""
    out_channels = 3

    def forward(self, points, sampling=None):
        index = torch.arange(points.shape[1]).expand(points.shape[:2])
        return PointFeatures(points[..., :3], points[..., :3], index, (index,))


for planted in (PlantedImages, EveryPoint):
    MODELS.register_module(module=planted, force=True)


def model_config(**kwargs):
    projector = dict(type='ProjectionMLP', in_channels=3, out_channels=4)
    config = dict(
        type='SimIPU', img_backbone=dict(type='PlantedImages'), point_encoder=dict(type='EveryPoint'),
        matcher=dict(type='HungarianMatcher', max_distance=0.5),
        intra_head=dict(type='ContrastiveHead', query_projector=projector),
        inter_head=dict(type='ContrastiveHead', query_projector=projector, key_projector=projector))
    config.update(kwargs)
    return config


def build(**kwargs):
    init_default_scope('mmdet3d')
    torch.manual_seed(0)
    return MODELS.build(model_config(**kwargs))


def frames(num_frames=2, num_cameras=1, num_points=40, behind=False, seed=0):
    """Clouds before (or behind) cameras at the origin that look along x."""
    rng = np.random.default_rng(seed)
    points = rng.uniform([4, -6, -2], [20, 6, 2], (num_frames, num_points, 3))
    points[..., 0] *= -1 if behind else 1
    lidar2cam = np.array([[0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1.]])
    cam2img = np.eye(4)
    cam2img[:2, :3] = [[40, 0, WIDTH / 2], [0, 40, HEIGHT / 2]]
    aug = np.diag([1.2, -1.2, 1.2, 1])
    samples = []
    for _ in range(num_frames):
        sample = Det3DDataSample()
        sample.set_metainfo(dict(
            lidar2img=np.stack([cam2img @ lidar2cam] * num_cameras),
            img_aug_matrix=np.stack([np.eye(4)] * num_cameras), lidar_aug_matrix=aug,
            ori_shape=[(HEIGHT, WIDTH)] * num_cameras, img_shape=[(HEIGHT, WIDTH)] * num_cameras))
        samples.append(sample)
    images = rng.standard_normal((num_frames, num_cameras, 3, HEIGHT, WIDTH))
    inputs = dict(points=points, points_aug=points @ aug[:3, :3].T, imgs=images)
    device = torch.empty(0).device
    return {name: torch.from_numpy(value).float().to(device) for name, value in inputs.items()}, samples


def pinhole(points):
    """Pixels of the frames' camera, by the textbook: (N, 2) and which are in the image."""
    u = 40 * -points[:, 1] / points[:, 0] + WIDTH / 2
    v = 40 * -points[:, 2] / points[:, 0] + HEIGHT / 2
    inside = (points[:, 0] > 0.1) & (abs(u - (WIDTH - 1) / 2) <= WIDTH / 2) & (
        abs(v - (HEIGHT - 1) / 2) <= HEIGHT / 2)
    return torch.stack([u, v], 1), inside


def test_pairs_are_the_visible_points_with_the_feature_under_their_pixel(device):
    model = build()
    inputs, samples = frames()
    # A picture that says where it is: after pooling, channel 0 is u and channel 1 is v at cell centres.
    inputs['imgs'][:, :, 0] = torch.arange(WIDTH).float()
    inputs['imgs'][:, :, 1] = torch.arange(HEIGHT).float()[:, None]
    points = model.point_encoder(inputs['points'])
    feature_map = model.extract_image_features(inputs['imgs'])
    pairs = model.pair_pixels_with_points(points, inputs, samples)
    features = features_at_pixels(pairs, feature_map, (HEIGHT, WIDTH))
    cells = feature_cell(pairs, feature_map, (HEIGHT, WIDTH))
    for frame in range(2):
        pixels, inside = pinhole(inputs['points'][frame])
        own = pairs.frame == frame
        assert 0 < inside.sum() < len(inside), 'the case must hold hidden and visible points'
        torch.testing.assert_close(pairs.position[own], inputs['points'][frame][inside])
        torch.testing.assert_close(pairs.depth[own], inputs['points'][frame][inside][:, 0])
        # Linear between cell centres, constant beyond the outermost ones.
        half = (STRIDE - 1) / 2
        expected = torch.stack([pixels[inside][:, 0].clamp(half, WIDTH - 1 - half),
                                pixels[inside][:, 1].clamp(half, HEIGHT - 1 - half)], 1)
        torch.testing.assert_close(features[own][:, :2], expected, atol=1e-3, rtol=0)
        cell = (pixels[inside] + 0.5).div(STRIDE).floor().long()
        in_first = cell[:, 1] * (WIDTH // STRIDE) + cell[:, 0]
        assert (cells[own] == in_first + frame * feature_map[0, 0].numel()).all()


def test_second_view_is_matched_to_itself(device):
    model = build()
    inputs, samples = frames()
    losses = model(inputs, samples, mode='loss')
    assert losses['pairs_intra'] == 80
    assert set(losses) == {f'{name}_{kind}' for kind in ('intra', 'inter')
                           for name in ('loss', 'acc_top1', 'acc_top5', 'pairs')} | {'visible_share'}


def test_permuted_cameras_give_the_same_loss(device):
    model = build()
    inputs, samples = frames(num_cameras=3)
    for sample in samples:
        shifted = sample.lidar2img.copy()
        shifted[:, 0] += np.array([0, 9, -14])[:, None] * shifted[:, 2]  # principal points differ
        sample.set_metainfo(dict(lidar2img=shifted))
    loss = model(inputs, samples, mode='loss')['loss_inter']
    order = [2, 0, 1]
    inputs['imgs'] = inputs['imgs'][:, order]
    for sample in samples:
        sample.set_metainfo(dict(lidar2img=sample.lidar2img[order]))
    torch.testing.assert_close(model(inputs, samples, mode='loss')['loss_inter'], loss)


def test_nothing_visible_gives_zero_loss_and_counts_no_pair(device):
    model = build()
    inputs, samples = frames(behind=True)
    losses = model(inputs, samples, mode='loss')
    (losses['loss_inter'] + losses['loss_intra']).backward()
    assert losses['loss_inter'] == 0 and losses['pairs_inter'] == 0
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters()
               if parameter.grad is not None)
    assert not any(parameter.grad.any() for parameter in model.inter_head.parameters())
    assert any(parameter.grad.any() for parameter in model.intra_head.parameters())


def test_predict_returns_the_embeddings_of_each_frame(device):
    model = build().eval()
    inputs, samples = frames()
    counts = [int(pinhole(points)[1].sum()) for points in inputs['points']]
    for sample, count in zip(model(inputs, samples, mode='predict'), counts):
        assert sample.image_embedding.shape == sample.point_embedding.shape == (count, 4)
        assert sample.pixel_feature.shape == (count, 3) and sample.pixel_depth.shape == (count,)


def test_without_intra_loss_the_second_view_is_not_needed(device):
    inter_head = dict(model_config()['inter_head'], detach_key=None)
    model = build(intra_head=None, matcher=None, inter_head=inter_head)
    inputs, samples = frames()
    del inputs['points_aug']
    assert 'loss_intra' not in model(inputs, samples, mode='loss')
    with pytest.raises(ValueError, match='intra_head and matcher go together'):
        build(intra_head=None)


def test_missing_second_view_names_the_transform_that_makes_it():
    inputs, samples = frames()
    del inputs['points_aug']
    with pytest.raises(ConfigError, match='put .*PointCloudSecondView.* behind SamplePoints'):
        build()(inputs, samples, mode='loss')


def test_missing_matrix_names_the_transform_that_writes_it():
    model = build()
    inputs, samples = frames()
    bare = [Det3DDataSample() for _ in samples]
    with pytest.raises(DataError, match='lidar2img.*PackPairedInputs'):
        model(inputs, bare, mode='loss')


def test_a_point_encoder_that_nothing_trains_is_an_error():
    frozen = build(intra_head=None, matcher=None)  # EveryPoint has no weights to train
    assert frozen.intra_head is None
    with pytest.raises(ValueError, match='nothing trains the point encoder'):
        build(intra_head=None, matcher=None, point_encoder=dict(
            type='PointNet2Encoder', num_points=(8,), radii=((1.,),), num_samples=((4,),),
            sa_channels=(((8, 8),),), aggregation_channels=(8,), fps_mods=('D-FPS',),
            fps_sample_range_lists=(-1,)))


def test_singular_augmentation_is_named_and_not_replaced():
    model = build()
    inputs, samples = frames()
    samples[1].set_metainfo(dict(lidar_aug_matrix=np.diag([1., 0, 1, 1])))
    with pytest.raises(ValueError, match='lidar_aug_matrix is singular'):
        model(inputs, samples, mode='loss')


def test_channels_last_gives_the_same_losses_and_gradients(mmdet3d_scope):
    backbone = dict(type='mmdet.ResNet', depth=18, base_channels=8, out_indices=(0, ))
    projector = dict(type='ProjectionMLP', in_channels=8, out_channels=4)
    head = dict(type='ContrastiveHead', query_projector=projector,
                key_projector=dict(projector, in_channels=3))
    inputs, samples = frames()
    inputs = {name: tensor.double() for name, tensor in inputs.items()}
    results, layouts = [], []
    for channels_last in (False, True):
        model = build(img_backbone=backbone, inter_head=head, channels_last=channels_last).double()
        model.img_backbone.register_forward_hook(
            lambda module, images, maps: layouts.append(maps[0].is_contiguous(memory_format=torch.channels_last)))
        loss = model(inputs, samples, mode='loss')['loss_inter']
        results.append([loss, *torch.autograd.grad(loss, [model.img_backbone.conv1.weight])])
    assert layouts == [False, True]
    torch.testing.assert_close(*results)
