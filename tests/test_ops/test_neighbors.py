"""Ball query against a loop over all pairs in numpy."""
import numpy as np
import pytest
import torch
from test_sampling import tensor

from simipu import ops
from simipu.ops import neighbors as module

pytestmark = pytest.mark.usefixtures('device')

SHELLS, NUM_SAMPLES = [(0, 0.4), (0.4, 0.8), (0, 1.6)], [4, 8, 16]
IMPLEMENTATIONS = [ops.multi_ball_query, module.multi_ball_query_torch]


def all_pairs(shell, num_samples, points, centers):
    """(M, K) rows for one cloud, in float32 like mmcv's kernel."""
    low, high = (np.float32(radius) * np.float32(radius) for radius in shell)
    rows = np.zeros((len(centers), num_samples), int)
    for center, row in zip(centers, rows):
        dx, dy, dz = (center - points).T
        squared = dx * dx + dy * dy + dz * dz
        inside = np.flatnonzero((squared == 0) | ((squared >= low) & (squared < high)))
        if len(inside):
            row[:] = inside[0]
            row[:len(inside)] = inside[:num_samples]
    return rows


def check(query, points, centers, shells=SHELLS, num_samples=NUM_SAMPLES):
    """``points`` (B, N, 3) and ``centers`` (B, M, 3) as arrays."""
    result = query(shells, num_samples, tensor(points), tensor(centers))
    for shell, count, rows in zip(shells, num_samples, result):
        expected = [all_pairs(shell, count, *pair) for pair in zip(points, centers)]
        assert np.array_equal(rows.cpu().numpy(), expected)


@pytest.mark.parametrize('query', IMPLEMENTATIONS)
@pytest.mark.parametrize('scale', [(3, 3, 3), (70, 80, 4), (1, 1, 0)])
def test_equals_all_pairs(query, scale):
    points = np.random.default_rng(0).random((2, 900, 3), np.float32) * np.float32(scale)
    check(query, points - 1, points[:, 100:300] - 1)


@pytest.mark.parametrize('query', IMPLEMENTATIONS)
def test_equals_all_pairs_on_radii_exactly_and_with_duplicates(query):
    points = np.random.default_rng(0).integers(0, 6, (2, 500, 3)).astype(np.float32) / 4
    check(query, points, points[:, :90], [(0, 0.25), (0.25, 0.5), (0.5, 1)], [3, 9, 27])


@pytest.mark.parametrize('query', IMPLEMENTATIONS)
def test_centers_outside_the_cloud_and_empty_balls(query):
    rng = np.random.default_rng(0)
    points = rng.random((1, 300, 3), np.float32)
    centers = rng.uniform(-4, 5, (1, 200, 3)).astype(np.float32)
    check(query, points, centers)
    far = torch.full((1, 1, 3), 1e6)
    assert ops.ball_query(0, 1, 3, tensor(points), far).tolist() == [[[0, 0, 0]]]


def test_a_far_outlier_costs_no_memory_and_changes_nothing():
    points = np.random.default_rng(0).random((1, 200, 3), np.float32)
    points[0, 7] = 1e7
    check(ops.multi_ball_query, points, points[:, :50])


def test_equals_all_pairs_on_real_frames(real_data):
    for file in sorted((real_data / 'kitti/training/velodyne').glob('*.bin'))[:2]:
        points = np.fromfile(file, np.float32).reshape(-1, 4)[None, :8000, :3].copy()
        check(ops.multi_ball_query, points, points[:, ::40].copy(),
              [(0, 0.2), (0.2, 0.4), (0.4, 0.8)], [32, 32, 64])


def test_single_query_is_one_shell():
    points = torch.rand(1, 100, 3)
    rows = ops.ball_query(0.1, 0.3, 5, points, points[:, :20])
    assert torch.equal(rows, ops.multi_ball_query([(0.1, 0.3)], [5], points, points[:, :20])[0])


def test_chunks_of_centers_change_nothing(monkeypatch):
    points = torch.rand(2, 100, 3)
    whole = module.multi_ball_query_torch(SHELLS, NUM_SAMPLES, points, points)
    monkeypatch.setattr(module, 'MAX_BLOCK_ELEMENTS', 1000)
    parts = module.multi_ball_query_torch(SHELLS, NUM_SAMPLES, points, points)
    assert all(torch.equal(a, b) for a, b in zip(whole, parts))


def test_coordinates_that_are_not_finite_are_an_error_on_a_cpu():
    points = torch.rand(1, 10, 3, device='cpu')
    points[0, 3, 1] = float('nan')
    with pytest.raises(ValueError, match='NaN or infinite'):
        ops.ball_query(0, 1, 2, points, points)
