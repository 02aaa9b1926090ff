"""The whole model's losses and gradients against the unoptimised path, small and in float64.

In float64 both agree to 1e-9; in float32 rounding would hide a small mistake.
"""
import sys
from pathlib import Path

import pytest
import torch
from mmdet3d.registry import MODELS
from mmengine.registry import init_default_scope

sys.path.append(str(Path(__file__).resolve().parents[2] / 'benchmarks'))
from frames import made_up_batch
from naive_model import losses_and_gradients, naive_copy, recorded_samplings
from naive_points import NaiveEncoder

SMALL = dict(
    num_points=(256, 128, (128, 128)),
    radii=((0.4, 0.8, 1.6), (0.8, 1.6, 3.2), (1.6, 3.2, 4.8)),
    num_samples=((8, 8, 16), (8, 8, 16), (8, 8, 8)),
    sa_channels=(((8, 8), (8, 8), (8, 16)), ((8, 16), (8, 16), (8, 16)),
                 ((16, 16), (16, 16), (16, 32))),
    aggregation_channels=(16, 16, 24),
    fps_mods=('D-FPS', 'FS', ('F-FPS', 'D-FPS')),
    fps_sample_range_lists=(-1, -1, (128, -1)),
    norm_cfg=dict(type='BN2d', eps=1e-3, momentum=0.1))


@pytest.fixture(scope='module')
def paths():
    """Our model, the unoptimised one with the same weights, and a batch."""
    init_default_scope('mmdet3d')
    torch.manual_seed(0)

    def head(**projectors):
        loss = dict(type='InfoNCELoss', mask_same_cell=False)
        return dict(type='ContrastiveHead', detach_key='feature', loss=loss, **{
            f'{side}_projector': dict(type='ProjectionMLP', in_channels=width, out_channels=16)
            for side, width in projectors.items()})

    ours = MODELS.build(dict(
        type='SimIPU', matcher=dict(type='HungarianMatcher'),
        img_backbone=dict(type='mmdet.ResNet', depth=18, base_channels=8, out_indices=(3, )),
        point_encoder=dict(type='PointNet2Encoder', in_channels=4, **SMALL),
        intra_head=head(query=24), inter_head=head(query=64, key=24))).train().double()
    inputs, samples = made_up_batch(2, 1000)
    inputs = {name: tensor.double() for name, tensor in inputs.items()}
    return ours, naive_copy(ours, NaiveEncoder(4, **SMALL).double()), (inputs, samples)


def largest_difference(ours, naive, batch):
    """Of the losses, and of the gradients in relation to their size."""
    with recorded_samplings(ours.point_encoder) as samplings:
        our_losses, our_grads = losses_and_gradients(ours, batch)
    naive.point_encoder.samplings = samplings
    losses, grads = losses_and_gradients(naive, batch)
    assert losses['pairs_inter'] > 100 and losses['loss_intra'] > 0.5
    assert grads.keys() == our_grads.keys()
    # A bias before a batch norm has no gradient but rounding: hence the 1e-3.
    return max(*(abs(losses[name] - our_losses[name]) for name in ('loss_inter', 'loss_intra')),
               *((grads[name] - our_grads[name]).norm() / (grads[name].norm() + 1e-3) for name in grads))


def test_losses_and_gradients_are_those_of_the_unoptimised_path(paths):
    assert largest_difference(*paths) < 1e-7


def test_a_wrong_pair_and_a_wrong_loss_would_be_found(paths):
    ours, naive, batch = paths
    matcher = ours.matcher

    def one_wrong_pair(xyz_a, xyz_b):
        matches = matcher(xyz_a, xyz_b)
        matches.index_b[:2] = matches.index_b[:2].flip(0)
        return matches

    ours.matcher = one_wrong_pair
    assert largest_difference(ours, naive, batch) > 1e-4
    ours.matcher = matcher

    ours.inter_head.loss_module.temperature *= 1.01
    assert largest_difference(ours, naive, batch) > 1e-4
