"""Depth regression, alone and beside the contrast, on made-up frames whose depths are known."""
import numpy as np
import pytest
import torch
from mmdet3d.registry import MODELS
from mmengine.registry import init_default_scope
from scipy.ndimage import map_coordinates
from test_simipu import HEIGHT, WIDTH, build, frames, pinhole

from simipu.errors import ConfigError
from simipu.geometry import flip_matrix, sample_features
from simipu.models.heads import DepthRegressionHead, GeometryHead
from simipu.neighbour_cells import STEPS

ONE_LEVEL = dict(type='DepthRegressionHead', in_channels=(3, ))


def build_depth_only(**kwargs):
    init_default_scope('mmdet3d')
    torch.manual_seed(0)
    config = dict(img_backbone=dict(type='PlantedImages'), depth_head=ONE_LEVEL, **kwargs)
    return MODELS.build(dict(type='DepthPretraining', **config))


def test_head_equals_a_regression_of_interpolated_features():
    """By SciPy's interpolation, point by point; the head projects first and interpolates afterwards."""
    torch.manual_seed(0)
    head = DepthRegressionHead(in_channels=(5, 7), loss_weight=3.0).double()
    maps = [torch.randn(2, 5, 8, 16).double(), torch.randn(2, 7, 4, 8).double()]
    pixel = (torch.rand(2, 30, 2) * torch.tensor([WIDTH, HEIGHT]) - 0.5).double()
    depth, visible = torch.rand(2, 30).double() * 50 + 1, torch.rand(2, 30) < 0.7
    losses = head.loss(maps, pixel, depth, visible, input_shape=(HEIGHT, WIDTH))
    errors = {0: [], 1: []}
    for image, point in visible.nonzero().tolist():
        for level, (layer, feature_map) in enumerate(zip(head.layers, maps)):
            stride = HEIGHT / feature_map.shape[2]
            u, v = ((pixel[image, point] + 0.5) / stride - 0.5).tolist()
            feature = [map_coordinates(channel.numpy(), [[v], [u]], order=1, mode='nearest')[0]
                       for channel in feature_map[image]]
            log_depth = np.dot(layer.weight.detach().flatten(), feature) + layer.bias.item()
            errors[level].append(log_depth - np.log(depth[image, point].item()))
    expected = 3 * sum(np.abs(of_level).mean() for of_level in errors.values())
    assert losses['loss'].item() == pytest.approx(expected, rel=1e-12)
    assert losses['abs_rel'].item() == pytest.approx(np.abs(np.exp(errors[1]) - 1).mean(), rel=1e-12)


def test_points_that_no_camera_sees_teach_nothing(device):
    head = DepthRegressionHead(in_channels=(3, ))
    feature_map = torch.randn(1, 3, 8, 16, requires_grad=True)
    depth = torch.tensor([[-3.0, 0.0, 0.05]])
    losses = head.loss([feature_map], torch.full((1, 3, 2), 1e9), depth, torch.zeros(1, 3, dtype=torch.bool),
                       input_shape=(HEIGHT, WIDTH))
    losses['loss'].backward()
    assert losses['loss'] == 0 and losses['abs_rel'] == 0
    assert (feature_map.grad == 0).all() and (head.layers[0].weight.grad == 0).all()


def test_an_image_of_the_log_depth_is_read_without_error(device):
    """All points of the cloud count, not the sampled ones: here they lie on a plane that the image shows."""
    model = build_depth_only()
    inputs, samples = frames(num_points=400)
    inside = torch.stack([pinhole(points)[1] for points in inputs['points']])
    inputs['points'][..., 1:] *= 12 / inputs['points'][..., :1]  # along the rays onto the plane x = 12
    inputs['points'][..., 0] = 12
    inputs['imgs'][:] = np.log(12)
    layer = model.depth_head.layers[0]
    layer.weight.data[:] = torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1)
    layer.bias.data[:] = 0
    assert model(inputs, samples, mode='loss')['loss_depth'].item() == pytest.approx(0, abs=1e-6)
    layer.bias.data[:] = 0.5
    losses = model(inputs, samples, mode='loss')
    assert losses['loss_depth'].item() == pytest.approx(0.5, abs=1e-6)
    assert losses['abs_rel_depth'].item() == pytest.approx(np.expm1(0.5), rel=1e-5)
    assert set(losses) == {'loss_depth', 'abs_rel_depth'}
    counts = [len(sample.pixel_depth) for sample in model.eval()(inputs, samples, mode='predict')]
    assert counts == inside.sum(1).tolist()


def test_prediction_holds_features_and_depths_of_visible_points_of_all_cameras(device):
    model = build_depth_only().eval()
    inputs, samples = frames(num_cameras=2)
    inputs['imgs'][:, 0], inputs['imgs'][:, 1] = 0, 1
    for points, sample in zip(inputs['points'], model(inputs, samples, mode='predict')):
        depth = points[pinhole(points)[1], 0]
        torch.testing.assert_close(sample.pixel_depth, depth.repeat(2))
        camera = torch.arange(2.0).repeat_interleave(len(depth))
        torch.testing.assert_close(sample.pixel_feature, camera[:, None].expand(-1, 3))


def test_beside_the_contrast_it_adds_its_loss_and_changes_no_other(device):
    inputs, samples = frames()
    alone, both = build(), build(depth_head=ONE_LEVEL)
    both.load_state_dict(alone.state_dict(), strict=False)
    expected, found = (model(inputs, samples, mode='loss') for model in (alone, both))
    depth_only = build_depth_only()
    depth_only.depth_head.load_state_dict(both.depth_head.state_dict())
    expected.update(depth_only(inputs, samples, mode='loss'))
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    total, _ = both.parse_losses(found)
    torch.testing.assert_close(total, sum(found[f'loss_{part}'] for part in ('inter', 'intra', 'depth')))


def test_every_level_needs_its_width():
    model = build_depth_only(img_level=(0, ))
    model.img_level = (0, 0)
    with pytest.raises(ConfigError, match='1 widths in in_channels, but 2 levels in img_level'):
        model(*frames(), mode='loss')


def test_surfaces_are_regressed_where_they_are_known():
    """Each target by itself: its mean error over the points that are visible and have it."""
    torch.manual_seed(0)
    head = GeometryHead(in_channels=(5, ), loss_weight=3.0, surface_weight=0.5, occupancy_weight=0)
    feature_map = torch.randn(2, 5, 8, 16)
    pixel = torch.rand(2, 30, 2) * torch.tensor([WIDTH, HEIGHT]) - 0.5
    depth, visible = torch.rand(2, 30) * 50 + 1, torch.rand(2, 30) < 0.7
    surroundings = torch.rand(2, 30, 3)
    surroundings[:, :10, :2] = torch.nan
    place = dict(pixel=pixel, depth=depth, visible=visible, input_shape=(HEIGHT, WIDTH))
    losses = head.loss([feature_map], surroundings=surroundings, **place)
    depth_head = DepthRegressionHead(in_channels=5, loss_weight=3.0)  # which takes the same pipeline
    depth_head.load_state_dict(head.state_dict(), strict=False)
    alone = depth_head.loss([feature_map], surroundings=surroundings, **place)
    assert {name: losses[name] for name in alone} == alone
    predicted = sample_features(head.surface_layers[0](feature_map), pixel, (HEIGHT, WIDTH)).detach().numpy()
    expected = 0
    for target in range(3):
        rows = visible.numpy() & np.isfinite(surroundings[..., target].numpy())
        expected += 1.5 * np.abs(predicted - surroundings.numpy())[rows, target].mean()
    assert losses['loss_surface'].item() == pytest.approx(expected, rel=1e-5)
    losses['loss_surface'].backward()
    assert all(layer.weight.grad.isfinite().all() for layer in head.surface_layers)


def test_every_camera_learns_the_surroundings_of_what_it_sees():
    model = build_depth_only()
    model.depth_head = GeometryHead(in_channels=(3, ), occupancy_weight=0)
    inputs, samples = frames(num_cameras=2)
    inputs['surroundings'] = torch.rand(*inputs['points'].shape[:2], 3)
    losses = model(inputs, samples, mode='loss')
    one_by_one = []
    for frame in range(len(samples)):
        for camera in range(2):
            points = model.project_points(inputs['points'][frame:frame + 1, :, :3], inputs, samples[frame:frame + 1])
            feature_map = model.extract_image_features(inputs['imgs'][frame:frame + 1, camera:camera + 1])
            visible = points.visible[:, camera]
            error = (sample_features(model.depth_head.surface_layers[0](feature_map), points.pixel[:, camera],
                                     inputs['imgs'].shape[-2:]) - inputs['surroundings'][frame:frame + 1])
            one_by_one.append(error[visible].abs())
    expected = 0.5 * torch.cat(one_by_one).mean(0).sum()
    torch.testing.assert_close(losses['loss_surface_depth'], expected)


def test_frames_without_surroundings_are_told_what_lacks():
    model = build_depth_only()
    model.depth_head = GeometryHead(in_channels=(3, ), occupancy_weight=0)
    with pytest.raises(ConfigError, match='DescribeSurroundings.*behind SamplePoints'):
        model(*frames(), mode='loss')


def test_occupancy_is_classified_at_visible_points():
    torch.manual_seed(0)
    head = GeometryHead(in_channels=(5, 4), loss_weight=2.0, occupancy_weight=3.0)
    maps = [torch.randn(2, 5, 8, 16), torch.randn(2, 4, 4, 8)]
    pixel = torch.rand(2, 30, 2) * torch.tensor([WIDTH, HEIGHT]) - 0.5
    depth, visible = torch.rand(2, 30) * 50 + 1, torch.rand(2, 30) < 0.7
    occupancy = torch.rand(2, 30, 52) < 0.3
    losses = head.loss(maps, pixel, depth, visible, (HEIGHT, WIDTH), torch.rand(2, 30, 3), occupancy)
    expected = 0
    for layer, feature_map in zip(head.occupancy_layers, maps):
        chance = sample_features(layer(feature_map), pixel, (HEIGHT, WIDTH)).sigmoid()
        right = chance.where(occupancy, 1 - chance)[visible]
        expected -= 6 * right.log().mean().item()
    assert losses['loss_occupancy'].item() == pytest.approx(expected, rel=1e-5)
    losses['loss_occupancy'].backward()
    assert all((layer.weight.grad != 0).any() for layer in head.occupancy_layers)


def test_points_that_are_not_described_teach_their_depth_alone():
    torch.manual_seed(0)
    head = GeometryHead(in_channels=(5, ))
    feature_map, pixel = torch.randn(2, 5, 8, 16), torch.rand(2, 30, 2) * torch.tensor([WIDTH, HEIGHT]) - 0.5
    depth, visible = torch.rand(2, 30) * 50 + 1, torch.rand(2, 30) < 0.7
    described = dict(surroundings=torch.rand(2, 12, 3), occupancy=torch.rand(2, 12, 52) < 0.3)

    def losses_of(num_points):
        return head.loss([feature_map], pixel[:, :num_points], depth[:, :num_points], visible[:, :num_points],
                         (HEIGHT, WIDTH), **described)

    all_points, first_points = losses_of(30), losses_of(12)
    assert all_points['loss'] != first_points['loss']
    for name in ('loss_surface', 'loss_occupancy'):
        torch.testing.assert_close(all_points[name], first_points[name], atol=0, rtol=0)


def test_a_mirrored_image_learns_the_mirrored_occupancy():
    """Of two cameras of each frame one is mirrored: what lies left of a point lies right of it in that image."""
    model = build_depth_only()
    model.depth_head = RecordingHead()
    inputs, samples = frames(num_cameras=2)
    inputs['occupancy'] = torch.rand(*inputs['points'].shape[:2], 52) < 0.3
    for sample in samples:
        sample.set_metainfo(dict(img_aug_matrix=np.stack([np.eye(4), flip_matrix(WIDTH)])))
    model(inputs, samples, mode='loss')
    found = model.depth_head.occupancy.unflatten(0, (-1, 2))
    assert torch.equal(found[:, 0], inputs['occupancy'])
    for number, (away, left, up) in enumerate(STEPS):
        other = STEPS.index((away, -left, up))
        for first in (0, 26):
            assert torch.equal(found[:, 1, :, first + number], inputs['occupancy'][..., first + other])


class RecordingHead(torch.nn.Module):
    """Keeps the occupancy that it is given."""

    def loss(self, feature_maps, pixel, depth, visible, input_shape, occupancy):
        self.occupancy = occupancy
        return dict(loss=feature_maps[0].sum())


def test_frames_without_occupancy_or_of_other_cells_are_told_what_lacks():
    model = build_depth_only()
    model.depth_head = GeometryHead(in_channels=(3, ))
    inputs, samples = frames()
    inputs['surroundings'] = torch.rand(*inputs['points'].shape[:2], 3)
    with pytest.raises(ConfigError, match='DescribeOccupancy.*behind SamplePoints.*or set occupancy_weight=0'):
        model(inputs, samples, mode='loss')
    inputs['occupancy'] = torch.zeros(*inputs['points'].shape[:2], 26, dtype=torch.bool)
    with pytest.raises(ConfigError, match='num_sizes=2, but DescribeOccupancy has cells of 1 sizes'):
        model(inputs, samples, mode='loss')
