"""Where tensors are made, on machines without a GPU too.

Fake tensors have a device and a shape, but no values, and an operation on those of two devices is an error, as on a
GPU. The device here is 'meta', which every build of torch has; what is not given a device is made on the CPU.
"""
from contextlib import nullcontext

import pytest
import torch
from test_models.test_simipu import frames
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.symbolic_shapes import ShapeEnv

from simipu.geometry import bilinear_samples, project_to_cameras
from simipu.models.heads import ContrastiveHead, DepthRegressionHead
from simipu.models.losses import InfoNCELoss, KeyQueue
from simipu.models.matchers import MutualNearestMatcher
from simipu.models.point_encoders import PointNet2Encoder, set_abstraction
from simipu.models.projection_mlp import PairBatchNorm, ProjectionMLP
from simipu.models.simipu import SimIPU
from simipu.ops import backend, furthest_feature_sample, furthest_point_sample, gather_max, multi_ball_query

DEVICE = torch.device('meta')
SMALL = dict(num_points=(16, 8), radii=((0.4, 0.8), (0.8, 1.6)), num_samples=((4, 4), (4, 4)),
             sa_channels=(((4, 4), (4, 4)), ((8, 8), (8, 8))), aggregation_channels=(8, 8),
             fps_mods=('D-FPS', 'F-FPS'), fps_sample_range_lists=(-1, -1))


@pytest.fixture(autouse=True)
def fake_tensors(monkeypatch):
    monkeypatch.setattr(backend, 'has_triton', lambda: False)  # kernels need values
    monkeypatch.setattr(set_abstraction, '_keeps_unused', lambda groups: True)  # as on a GPU
    autocast = torch.autocast
    monkeypatch.setattr(torch, 'autocast', lambda device, **kwargs: nullcontext() if device == 'meta' else
                        autocast(device, **kwargs))
    # Sizes that depend on values are symbols; numpy arrays become fake tensors of the CPU.
    with FakeTensorMode(shape_env=ShapeEnv(), allow_non_fake_inputs=True):
        yield


def rand(*shape, **kwargs):
    return torch.rand(shape, device=DEVICE, **kwargs)


def built(make, *args, **kwargs):
    """A module with its weights on the device."""
    with DEVICE:
        return make(*args, **kwargs)


def check(*tensors):
    assert tensors
    for tensor in tensors:
        assert tensor.device == DEVICE


def head(**kwargs):
    loss = InfoNCELoss(false_negative_radius=0.5, symmetric=True, learn_temperature=True)
    return ContrastiveHead(ProjectionMLP(8, out_channels=4), ProjectionMLP(6, out_channels=4), loss, **kwargs)


@pytest.mark.parametrize('kwargs', [{}, dict(detach_key=None), dict(detach_key='projection')])
def test_heads_and_losses(kwargs):
    module, queries, keys = built(head, **kwargs), rand(10, 8, requires_grad=True), rand(10, 6)
    number = torch.arange(10, device=DEVICE)
    losses = module.loss(queries, keys, frame=number, position=rand(10, 3), cell=number)
    losses['loss'].backward()
    check(*losses.values(), queries.grad, module.query_projector.layers[0][0].weight.grad)


def test_keys_of_the_past():
    queue = built(KeyQueue, 16, 4)
    queue.enqueue(rand(10, 4))
    check(queue.rows, queue.num_enqueued)


def test_batch_norm_of_pairs():
    norm = built(PairBatchNorm, 8)
    check(norm(rand(5, 8)), norm(rand(1, 8)))


@pytest.mark.parametrize('use_xyz', [True, False])
def test_point_encoder(use_xyz):
    encoder = built(PointNet2Encoder, 4, use_xyz=use_xyz, **SMALL)
    points = encoder(rand(2, 64, 4))
    again = encoder(rand(2, 64, 4), sampling=points.sampling)
    points.features.square().sum().backward()
    check(points.xyz, points.features, points.indices, again.features,
          *(weight.grad for weight in encoder.parameters()))


def test_point_operations():
    points, rows = rand(2, 32, 3), torch.zeros(5, 4, dtype=torch.long, device=DEVICE)
    check(furthest_point_sample(points, 8), furthest_feature_sample(points, rand(2, 5, 32), 8),
          *multi_ball_query([(0, 0.5), (0.5, 1)], [4, 8], points, points[:, :6]), gather_max(rand(9, 3), rows))


def test_matcher():
    check(*MutualNearestMatcher(max_distance=1.0)(rand(2, 9, 3), rand(2, 9, 3)))


def test_projection_and_samples():
    size = torch.ones(2, 1, 2, device=DEVICE)
    pixels, depth, visible = project_to_cameras(rand(2, 9, 3), rand(2, 1, 4, 4), rand(2, 1, 4, 4), size, size)
    check(pixels, depth, visible)
    maps, image = rand(2, 5, 4, 6), torch.zeros(9, dtype=torch.long, device=DEVICE)
    check(bilinear_samples(maps, image, pixels[0, 0], (32, 48)).through(built(torch.nn.Linear, 5, 3)))
    losses = built(DepthRegressionHead, [5]).loss([maps], pixels[:, 0], depth[:, 0], visible[:, 0], (32, 48))
    check(*losses.values())


def test_a_model_up_to_its_pairs(mmdet3d_scope):
    """From the calibration of the frames, which is on the CPU, to pixels and points."""
    small_head = dict(type='ContrastiveHead', query_projector=dict(type='ProjectionMLP', in_channels=8),
                      detach_key=None)
    model = built(
        SimIPU, dict(type='mmdet.ResNet', depth=18, base_channels=8, out_indices=(3, )),
        dict(type='PointNet2Encoder', in_channels=4, use_xyz=True, **SMALL), small_head)
    inputs, samples = frames(num_points=64)
    inputs = dict(imgs=rand(*inputs['imgs'].shape), points=rand(2, 64, 4))
    points = model.point_encoder(inputs['points'])
    pairs = model.pair_pixels_with_points(points, inputs, samples)
    check(model.extract_image_features(inputs['imgs']), *pairs)


@pytest.mark.parametrize('mistake', [
    lambda: built(ProjectionMLP, 8)(torch.rand(5, 8)),
    lambda: rand(5, 8) + torch.arange(8),
    lambda: check(rand(5, 8).cpu())])
def test_a_wrong_device_is_found(mistake):
    with pytest.raises((RuntimeError, AssertionError)):
        mistake()
