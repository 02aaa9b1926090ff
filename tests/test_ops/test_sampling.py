"""Furthest point sampling against a greedy loop in numpy."""
import numpy as np
import pytest
import torch

from simipu import ops
from simipu.ops import sampling as module

pytestmark = pytest.mark.usefixtures('device')


def greedy(distances, num_points):
    """Rows of an (N, N) distance matrix, each furthest from those before; lowest of equals."""
    rows = [0]
    while len(rows) < num_points:
        rows.append(int(np.argmax(distances[rows].min(0))))
    return rows


def squared_distances(values):
    difference = values[:, None] - values[None]
    return (difference * difference).sum(-1)


def lattice(num_points, seed):
    """Points on a small lattice: many duplicates, and ties at every step."""
    return np.random.default_rng(seed).integers(0, 4, (num_points, 3)).astype(np.float32)


def road(num_points, seed):
    """A wide flat cloud with metre scales like KITTI's."""
    return np.random.default_rng(seed).random((num_points, 3), np.float32) * np.float32([70, 80, 4])


def tensor(array):
    """On the device of the test."""
    return torch.as_tensor(array, device=torch.empty(0).device)


IMPLEMENTATIONS = [ops.furthest_point_sample, module.furthest_point_sample_torch]


@pytest.mark.parametrize('sample', IMPLEMENTATIONS)
@pytest.mark.parametrize('cloud', [lattice, road])
def test_takes_the_furthest_point_and_the_lowest_row_of_equals(sample, cloud):
    clouds = np.stack([cloud(400, seed) for seed in (0, 1)])
    rows = sample(tensor(clouds), 150)
    assert rows.dtype == torch.long
    assert rows.tolist() == [greedy(squared_distances(points), 150) for points in clouds]


@pytest.mark.parametrize('sample', IMPLEMENTATIONS)
def test_repeats_row_0_when_no_distinct_point_is_left(sample):
    points = torch.tensor([[[1., 2, 3], [1, 2, 3], [4, 2, 3]]])
    assert sample(points, 5).tolist() == [[0, 2, 0, 0, 0]]


@pytest.mark.parametrize('sample', [ops.furthest_point_sample_with_dist,
                                    module.furthest_point_sample_with_dist_torch])
def test_follows_a_given_distance_matrix(sample):
    distances = np.random.default_rng(0).integers(0, 50, (2, 60, 60)).astype(np.float32)
    rows = sample(tensor(distances), 40)
    # Row ``chosen`` of the matrix holds the distances to the chosen point, as in mmcv.
    assert rows.tolist() == [greedy(matrix, 40) for matrix in distances]


def test_feature_sampling_measures_coordinates_and_features_together():
    rng = np.random.default_rng(0)
    points, features = rng.random((2, 80, 3)), rng.random((2, 70, 80))  # more channels than are summed at a time
    rows = ops.furthest_feature_sample(tensor(points), tensor(features), 30)
    joined = np.concatenate([points, features.transpose(0, 2, 1)], axis=2)
    assert rows.tolist() == [greedy(squared_distances(values), 30) for values in joined]


def test_ranges_are_sampled_by_their_own_method():
    points = tensor(road(200, 0))[None]
    features = tensor(np.random.default_rng(1).random((1, 4, 200), np.float32))
    rows = ops.sample_points(points, features, (20, 10), ('F-FPS', 'FS'), (120, -1))
    second = points[:, 120:]
    expected = torch.cat([
        ops.furthest_feature_sample(points[:, :120], features[..., :120], 20),
        120 + ops.furthest_feature_sample(second, features[..., 120:], 10),
        120 + ops.furthest_point_sample(second, 10)], dim=1)
    assert torch.equal(rows, expected)


def test_feature_sampling_without_features_is_an_error():
    with pytest.raises(ValueError, match='F-FPS.*none'):
        ops.sample_points(torch.rand(1, 10, 3), None, (5, ), ('F-FPS', ), (-1, ))
    with pytest.raises(ValueError, match="not 'fps'"):
        ops.sample_points(torch.rand(1, 10, 3), None, (5, ), ('fps', ), (-1, ))
