"""The loss stage against what the original implementation computed (see its recorded cases)."""
import sys

import numpy as np
import pytest
import torch

from simipu.geometry import transform_points
from simipu.models.heads import ContrastiveHead
from simipu.models.matchers import HungarianMatcher

CASES = ('case1_noaug', 'case3_flip_synced', 'case4_aug3d')
# The original's names -> where the same weights are here.
PROJECTORS = dict(mlp_intro_points=('intra', 'query_projector'),
                  mlp_cross_img=('inter', 'query_projector'),
                  mlp_cross_points=('inter', 'key_projector'))


@pytest.fixture(scope='module', params=CASES)
def case(request, reference):
    sys.path.insert(0, str(reference))
    from load_case import load_case
    sys.path.pop(0)
    return load_case(reference / f'{request.param}.npz')


def lidar_aug_matrix(case, index):
    """The 4x4 of the augmentation that the original recorded as a flow of steps."""
    centre = case['meta_points_center']

    def shift(by):
        return np.block([[np.eye(3), np.reshape(by, (3, 1))], [np.zeros((1, 3)), np.ones((1, 1))]])

    def linear(block):
        matrix = np.eye(4)
        matrix[:3, :3] = block
        return matrix

    steps = dict(T1=shift(-centre), T2=shift(centre),
                 R=linear(case['meta_pcd_rotation'][index].T),
                 S=linear(np.eye(3) * case['meta_pcd_scale_factor'][index]),
                 T=shift(case['meta_pcd_trans'][index]),
                 HF=linear(np.diag([1, -1, 1])), VF=linear(np.diag([-1, 1, 1])))
    matrix = np.eye(4)
    for step in filter(None, str(case['meta_flow'][index]).split(',')):
        matrix = steps[step] @ matrix
    return matrix


def build_heads(case, dtype):
    def projector(width):
        return dict(type='ProjectionMLP', in_channels=width, hidden_channels=64, out_channels=16)

    heads = dict(
        intra=ContrastiveHead(projector(1024), detach_key='projection'),
        inter=ContrastiveHead(projector(2048), projector(1024), detach_key='projection'))
    for name, parameter in recorded_names(heads):
        parameter.data = torch.from_numpy(case[f'w_{name}'])
    return {name: head.to(dtype).train() for name, head in heads.items()}


def sample_at_recorded_pixels(case, img_feat):
    """Features at the recorded pixels, by the original's own rule: x / W_pad * (w - 1), 0 outside."""
    h, w = case['in_feat_hw']
    size = torch.as_tensor(case['meta_pad_shape_hw'][:, ::-1].copy()).to(img_feat)[:, None]
    index = torch.from_numpy(case['out_pix_xy']).to(img_feat) / size * img_feat.new_tensor(
        [w - 1, h - 1])
    grid = index / img_feat.new_tensor([w - 1, h - 1]) * 2 - 1
    sampled = torch.nn.functional.grid_sample(img_feat, grid[:, :, None], align_corners=True)
    return sampled[..., 0].transpose(1, 2)


def test_second_view_maps_back(case):
    matrices = np.stack([lidar_aug_matrix(case, index) for index in range(2)])
    back = torch.from_numpy(np.linalg.inv(matrices))
    mapped = transform_points(torch.from_numpy(case['in_loc_t']).double(), back)
    np.testing.assert_allclose(mapped.numpy(), case['out_loc_to_ori'], atol=1e-4)


def test_matches_are_identical(case):
    batch, index_a, index_b = HungarianMatcher()(torch.from_numpy(case['in_loc_ori']),
                                                 torch.from_numpy(case['out_loc_to_ori']))
    partner = np.full(case['out_match_t_idx'].shape, -1)
    partner[batch, index_a] = index_b
    np.testing.assert_array_equal(partner, case['out_match_t_idx'])


@pytest.mark.parametrize('precision, dtype, atol',
                         [('out64', torch.float64, 1e-9), ('out32', torch.float32, 1e-5)])
def test_losses_gradients_and_buffers(case, precision, dtype, atol):
    heads = build_heads(case, dtype)

    def tensor(name):
        return torch.from_numpy(case[name]).to(dtype).requires_grad_()

    img_feat, first, second = tensor('in_img_feat'), tensor('in_pts_feat_ori'), tensor('in_pts_feat_t')
    partner = torch.from_numpy(case['out_match_t_idx'])
    queries = first.transpose(1, 2)
    keys = second.transpose(1, 2).gather(1, partner[..., None].expand(-1, -1, 1024))
    intra = heads['intra'].loss(queries.flatten(0, 1), keys.flatten(0, 1))
    pixels = sample_at_recorded_pixels(case, img_feat)
    inter = heads['inter'].loss(pixels.flatten(0, 1), queries.flatten(0, 1))

    assert intra['loss'].item() == pytest.approx(float(case[f'{precision}_intro_loss']), abs=atol)
    assert inter['loss'].item() == pytest.approx(float(case[f'{precision}_cross_loss']), abs=atol)
    if dtype == torch.float64:
        (intra['loss'] + inter['loss']).backward()
        check_gradients(case, img_feat.grad, first.grad, heads)
        assert second.grad is None and bool(case['out64_grad_pts_feat_t_is_none'])
        check_buffers(case, heads)


def check_gradients(case, grad_img, grad_pts, heads):
    np.testing.assert_allclose(grad_img[:, ::64], case['out64_grad_img_feat_c0_2048_64'], atol=1e-9)
    np.testing.assert_allclose(grad_pts[:, ::64], case['out64_grad_pts_feat_ori_c0_1024_64'],
                               atol=1e-9)
    for name, parameter in recorded_names(heads):
        norm = float(case[f'out64_gradnorm_{name}'])
        if np.isnan(norm):
            assert parameter.grad is None, f'{name} had no gradient in the original'
        else:
            assert parameter.grad.norm().item() == pytest.approx(norm, rel=1e-7, abs=1e-12), name


def check_buffers(case, heads):
    for name, (head, part) in PROJECTORS.items():
        for index, layer in enumerate(getattr(heads[head], part).layers, 1):
            for kind in ('running_mean', 'running_var'):
                recorded = case[f'out64_buf_{name}.layer{index}.1.{kind}']
                np.testing.assert_allclose(getattr(layer[1], kind), recorded, atol=1e-9)


def recorded_names(heads):
    """Pairs of a parameter's recorded name and the parameter."""
    for name, (head, part) in PROJECTORS.items():
        for index, layer in enumerate(getattr(heads[head], part).layers, 1):
            for child, module in enumerate(layer):
                for kind, parameter in module.named_parameters():
                    yield f'{name}.layer{index}.{child}.{kind}', parameter
