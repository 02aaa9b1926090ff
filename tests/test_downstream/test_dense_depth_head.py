"""The depth decoder against sizes and formulas worked out by hand."""
import numpy as np
import pytest
import torch

pytest.importorskip('mmseg', reason='needs requirements/depth.txt')
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from simipu.downstream.depth import DenseDepthHead

CHANNELS = (8, 16, 32, 64)


@pytest.fixture
def head():
    torch.manual_seed(0)
    return DenseDepthHead(in_channels=CHANNELS, max_depth=80)


def maps(height, width):
    """Of an image of that size, as a ResNet gives them: sizes rounded up at every stride."""
    return [torch.randn(2, channels, -(-height // stride), -(-width // stride))
            for channels, stride in zip(CHANNELS, (4, 8, 16, 32))]


def test_head_is_built_in_another_scope_than_its_own(mmdet3d_scope):
    assert DenseDepthHead(in_channels=CHANNELS, max_depth=80).loss_decode.loss_name == 'loss_silog'


@pytest.mark.parametrize('height, width', [(64, 96), (50, 75)])
def test_depth_has_the_size_of_the_finest_map(head, height, width):
    depth = head(maps(height, width))
    assert depth.shape == (2, 1, -(-height // 4), -(-width // 4))
    assert depth.min() > 0 and depth.max() < 80


def test_every_map_has_its_share(head):
    inputs = [x.requires_grad_() for x in maps(64, 96)]
    head(inputs).sum().backward()
    assert all(x.grad.abs().sum() > 0 for x in inputs)


def test_each_step_halves_the_channels(head):
    assert head.reduce.out_channels == 32
    widths = [(step[0].conv.in_channels, step[1].conv.out_channels) for step in head.steps]
    assert widths == [(32 + 32, 16), (16 + 16, 8), (8 + 8, 4)]


def test_loss_is_scale_invariant_where_something_was_measured(head):
    """Eigen et al., NeurIPS 2014, equation 4 with lambda 1/2, and the root of it, each image for itself."""
    torch.nn.init.zeros_(head.conv_seg.weight)
    torch.nn.init.zeros_(head.conv_seg.bias)
    depth = head(maps(64, 96))
    assert torch.equal(depth, torch.full_like(depth, 40))  # half of the largest
    target = torch.rand(2, 1, 64, 96) * 60 + 1
    target[torch.rand(target.shape) < 0.9] = 0
    samples = [SegDataSample(gt_depth_map=PixelData(data=image)) for image in target]
    expected = []
    for image in target.numpy():
        difference = np.log(40) - np.log(image[image > 0])
        expected.append(np.sqrt(np.mean(difference**2) - np.mean(difference)**2 / 2))
    losses = head.loss_by_feat(depth, samples)
    assert losses.keys() == {'loss_silog'}
    assert losses['loss_silog'].item() == pytest.approx(np.mean(expected), rel=1e-5)
