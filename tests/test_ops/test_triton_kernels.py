"""Triton kernels against loops in numpy: on the GPU where there is one, else in Triton's interpreter.

``tests/conftest.py`` sets TRITON_INTERPRET before anything can import Triton.
"""
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from test_gather import groups_of
from test_neighbors import check
from test_sampling import greedy, lattice, road, squared_distances
from test_weighted_batch_norm import check_against_batch_norm_of_repeated_rows, check_half_precision, make_norm

from simipu import ops
from simipu.ops import backend

triton = pytest.importorskip('triton', '3.0', reason='no Triton 3: pip install -r requirements/tests.txt; torch < 2.4 '
                             'brings Triton 2')
from simipu.ops import _batch_norm_triton, weighted_batch_norm
from simipu.ops import _triton_kernels as kernels

DEVICE = 'cuda' if torch.cuda.is_available() else 'cpu'


def sample(clouds, num_points):
    rows = kernels.furthest_point_sample_triton(torch.from_numpy(clouds).to(DEVICE), num_points)
    assert rows.dtype == torch.long
    return rows.tolist()


def query(shells, num_samples, points, centers):
    limits = np.square(np.float32(shells))
    return [rows.cpu() for rows in kernels.multi_ball_query_triton(limits, num_samples, points.to(DEVICE),
                                                                   centers.to(DEVICE))]


@pytest.mark.parametrize('num_points', [64, 100])
@pytest.mark.parametrize('cloud', [lattice, road])
def test_sampling_takes_the_furthest_point_and_the_lowest_row_of_equals(cloud, num_points):
    clouds = np.stack([cloud(num_points, seed) for seed in (0, 1, 2)])
    assert sample(clouds, 40) == [greedy(squared_distances(points), 40) for points in clouds]


@pytest.mark.parametrize('points, expected', [
    ([[1, 2, 3], [1, 2, 3], [4, 2, 3]], [0, 2, 0, 0, 0]),
    ([[1, 2, 3]] * 7, [0, 0, 0, 0, 0]),
    ([[1, 2, 3]], [0, 0, 0, 0, 0]),
])
def test_sampling_repeats_row_0_when_no_distinct_point_is_left(points, expected):
    assert sample(np.float32([points]), 5) == [expected]
    assert sample(np.float32([points]), 1) == [expected[:1]]


def test_sampling_keeps_double_precision_and_takes_any_strides():
    points = 1 + 1e-12 * road(50, 0).astype(np.float64).T[:, ::-1].T
    assert sample(points[None], 20) == [greedy(squared_distances(points), 20)]


def test_a_point_that_is_not_finite_never_leads_out_of_the_cloud():
    clouds = np.stack([road(50, 0), np.full((50, 3), np.nan, np.float32)])
    clouds[0, 7] = np.nan
    rows = np.array(sample(clouds, 20))
    assert rows.min() >= 0 and rows.max() < 50


@pytest.mark.parametrize('num_points', [1, 60])
def test_sampling_follows_a_given_distance_matrix(num_points):
    distances = np.random.default_rng(0).integers(0, 50, (2, num_points, num_points)).astype(np.float32)
    rows = kernels.furthest_point_sample_with_dist_triton(torch.from_numpy(distances).to(DEVICE), 20)
    assert rows.tolist() == [greedy(matrix, 20) for matrix in distances]


@pytest.mark.parametrize('scale', [(3, 3, 3), (1, 1, 0)])
@pytest.mark.parametrize('num_centers', [1, 18])
def test_query_equals_all_pairs(scale, num_centers):
    points = np.random.default_rng(0).random((2, 300, 3), np.float32) * np.float32(scale)
    check(query, points - 1, points[:, 100:100 + num_centers] - 1)


def test_query_on_radii_exactly_and_with_duplicates_in_any_number_of_shells():
    points = np.random.default_rng(0).integers(0, 6, (2, 200, 3)).astype(np.float32) / 4
    shells, num_samples = [(0, 0.25), (0.25, 0.5), (0.5, 1), (1, 1.5)], [3, 9, 27, 5]
    check(query, points, points[:, :9], shells, num_samples)
    check(query, points, points[:, :9], shells[:1], num_samples[:1])


@pytest.mark.parametrize('points', [np.ones((1, 140, 3), np.float32), np.zeros((1, 1, 3), np.float32)])
def test_query_of_equal_points_and_of_one_point(points):
    check(query, points, points[:, :3])


def test_query_with_empty_balls_and_centers_outside_the_cloud():
    rng = np.random.default_rng(0)
    points = rng.random((1, 150, 3), np.float32)
    check(query, points, rng.uniform(-4, 5, (1, 30, 3)).astype(np.float32))


def test_query_takes_any_strides():
    points = torch.rand(3, 2, 90).permute(1, 2, 0)
    ours = query([(0, 0.5)], [8], points, points[:, ::9])
    assert torch.equal(ours[0], ops.ball_query(0, 0.5, 8, points, points[:, ::9]))


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize('num_groups, size, num_channels', [(37, 6, 7), (1, 1, 1), (5, 3, 130)])
def test_grouping_maximum(dtype, num_groups, size, num_channels):
    features = torch.randn(num_channels, 50).to(dtype).T  # not contiguous
    rows = groups_of(num_groups, size, 50)
    pooled, winners = kernels.gather_max_triton(features.to(DEVICE), rows.to(DEVICE))
    expected, position = features[rows].max(1)
    assert torch.equal(pooled.cpu(), expected)
    assert torch.equal(features.gather(0, winners.cpu().long()), expected)


@pytest.fixture
def ops_by_triton(monkeypatch):
    """The functions of ``simipu.ops`` choose Triton, on CPU too."""
    monkeypatch.setattr(backend, '_is_gpu', lambda tensor: True)
    monkeypatch.setattr(backend, 'mmcv_has_cuda_ops', lambda: False)
    monkeypatch.setattr(backend, 'has_triton', lambda: True)


@pytest.mark.parametrize('version, capability, expected', [
    ('3.6.0', (9, 0), True), ('2.1.0', (9, 0), False), ('3.6.0', (6, 1), False)])
def test_triton_is_chosen_if_it_and_the_gpu_are_new_enough(version, capability, expected, monkeypatch):
    monkeypatch.setattr(triton, '__version__', version)
    monkeypatch.setattr(torch.cuda, 'get_device_capability', lambda: capability)
    assert backend.has_triton.__wrapped__() is expected


def test_gradient_of_the_grouping_maximum(ops_by_triton):
    features = torch.randn(6, 2, dtype=torch.float64, device=DEVICE, requires_grad=True)
    rows = groups_of(9, 3, 6).to(DEVICE)
    assert torch.autograd.gradcheck(lambda x: ops.gather_max(x, rows), features)
    equal = torch.tensor([[1.], [2.], [2.]], device=DEVICE, requires_grad=True)
    ops.gather_max(equal, torch.tensor([[0, 2, 1]], device=DEVICE)).backward()
    assert equal.grad.tolist() == [[0], [0], [1]]  # to the first of equals


def test_the_functions_of_ops_run_on_triton(ops_by_triton):
    points = torch.from_numpy(np.stack([road(60, 0), lattice(60, 1)])).to(DEVICE)
    squared = [squared_distances(cloud) for cloud in points.cpu().numpy()]
    rows = ops.furthest_point_sample(points.bfloat16(), 3)
    assert rows.shape == (2, 3)
    assert ops.furthest_point_sample(points, 20).tolist() == [greedy(matrix, 20) for matrix in squared]
    distances = torch.from_numpy(np.stack(squared)).to(DEVICE)
    assert ops.furthest_point_sample_with_dist(distances, 20).tolist() == [greedy(matrix, 20) for matrix in squared]
    check(lambda shells, num_samples, *clouds: [rows.cpu() for rows in ops.multi_ball_query(
        shells, num_samples, *(cloud.to(DEVICE) for cloud in clouds))],
          points.cpu().numpy(), points[:, :9].cpu().numpy())


@pytest.fixture
def norm_by_triton(monkeypatch):
    monkeypatch.setattr(weighted_batch_norm, '_kernels_for', lambda rows: _batch_norm_triton)


@pytest.mark.parametrize('num_rows, channels, max_parts', [
    (700, 3, 99), (700, 16, 2), (150, 100, 4), (70, 130, 2), (3, 5, 1)])
def test_weighted_batch_norm(num_rows, channels, max_parts, norm_by_triton, monkeypatch):
    monkeypatch.setattr(_batch_norm_triton, 'MAX_PARTS', max_parts)  # several blocks for each
    with torch.device(DEVICE):
        check_against_batch_norm_of_repeated_rows(num_rows, channels)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('num_rows, channels', [(300, 3), (70, 200)])
def test_weighted_batch_norm_of_half_precision(dtype, num_rows, channels, norm_by_triton):
    with torch.device(DEVICE):
        check_half_precision(dtype, DEVICE, num_rows, channels)


def test_weighted_batch_norm_keeps_its_input_and_no_copy(norm_by_triton):
    rows = torch.randn(40, 5, device=DEVICE).bfloat16().requires_grad_()
    result = ops.weighted_batch_norm_relu(rows, torch.ones(40, device=DEVICE), make_norm().float().to(DEVICE))
    large = [saved for saved in result.grad_fn.saved_tensors if saved.shape == rows.shape]
    assert [saved.data_ptr() for saved in large] == [rows.data_ptr()]


def test_weighted_batch_norm_of_one_row_is_the_bias(norm_by_triton):
    norm = make_norm(track_running_stats=False).to(DEVICE)  # an unbiased variance of one row there is not
    rows = torch.full((1, 5), 7., dtype=torch.float64, device=DEVICE, requires_grad=True)
    result = ops.weighted_batch_norm_relu(rows, torch.ones(1, device=DEVICE), norm)
    result.sum().backward()
    assert torch.equal(result, norm.bias.relu()[None])
    assert rows.grad.abs().max() < 1e-12


def test_weighted_batch_norm_takes_any_strides(norm_by_triton):
    norm = make_norm().to(DEVICE)
    results = []
    for make in (lambda x: x.T.contiguous().T, lambda x: x.contiguous()):
        torch.manual_seed(0)
        rows = make(torch.randn(60, 5, dtype=torch.float64)).to(DEVICE).requires_grad_()
        signal = make(torch.randn(60, 5, dtype=torch.float64)).to(DEVICE)
        weights = torch.arange(120, device=DEVICE)[::2]
        result = ops.weighted_batch_norm_relu(rows, weights, norm)
        results.append([result, *torch.autograd.grad(result, rows, signal)])
    assert all(torch.equal(a, b) for a, b in zip(*results))


def test_weighted_batch_norm_does_not_hide_nan(norm_by_triton):
    rows = torch.randn(8, 5, device=DEVICE)
    rows[3, 2] = float('nan')
    result = ops.weighted_batch_norm_relu(rows, torch.ones(8, device=DEVICE), make_norm().float().to(DEVICE))
    assert result.isnan().any(0).tolist() == [False, False, True, False, False]


def test_kernels_compile_for_an_h100(tmp_path):
    """The interpreter takes more than the compiler does."""
    script = Path(__file__).with_name('compile_triton_kernels.py')
    result = subprocess.run([sys.executable, script], capture_output=True, text=True,
                            env={**os.environ, 'TRITON_INTERPRET': '0', 'TRITON_CACHE_DIR': str(tmp_path)})
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.splitlines()) == 8
