"""Matchers against brute force over all assignments, on small clouds."""
from itertools import permutations

import pytest
import torch

from simipu.models.matchers import HungarianMatcher, IndexMatcher, MutualNearestMatcher

pytestmark = pytest.mark.usefixtures('device')


def clouds(num_frames=3, num_points=6, seed=0):
    torch.manual_seed(seed)
    xyz_a = torch.rand(num_frames, num_points, 3) * 10
    order = torch.stack([torch.randperm(num_points) for _ in range(num_frames)])
    moved = xyz_a + 0.8 * torch.randn(xyz_a.shape)
    return xyz_a, moved.gather(1, order[..., None].expand(-1, -1, 3))


def pairs_of(matches, frame):
    """{(index_a, index_b)} of a frame."""
    own = matches.batch == frame
    return set(zip(matches.index_a[own].tolist(), matches.index_b[own].tolist()))


@pytest.mark.parametrize('limit', [None, 1.5])
def test_hungarian_has_the_least_total_cost_of_all_assignments(limit):
    xyz_a, xyz_b = clouds()
    matches = HungarianMatcher(limit)(xyz_a, xyz_b)
    for frame in range(3):
        cost = (xyz_a[frame, :, None] - xyz_b[frame, None]).norm(dim=-1)
        if limit is not None:
            cost = cost.clamp(max=limit)
        best = min(permutations(range(6)), key=lambda columns: cost[range(6), columns].sum())
        expected = {(row, column) for row, column in enumerate(best)
                    if limit is None or cost[row, column] < limit}
        assert pairs_of(matches, frame) == expected
    if limit is not None:
        assert len(matches.batch) < 18, 'the case must gate some pairs'


def test_limit_keeps_a_good_pair_that_the_total_would_give_up():
    xyz_a = torch.tensor([[[0., 0, 0], [1., 0, 0]]])
    xyz_b = torch.tensor([[[0.9, 0, 0], [9., 0, 0]]])  # the second point of b is nobody's
    ungated = HungarianMatcher()(xyz_a, xyz_b)
    gated = HungarianMatcher(max_distance=0.5)(xyz_a, xyz_b)
    assert len(ungated.batch) == 2
    assert pairs_of(gated, 0) == {(1, 0)}


def test_mutual_nearest_by_definition():
    xyz_a, xyz_b = clouds(num_points=9)
    matches = MutualNearestMatcher(max_distance=2.)(xyz_a, xyz_b)
    for frame in range(3):
        distance = (xyz_a[frame, :, None] - xyz_b[frame, None]).norm(dim=-1).tolist()
        columns = list(zip(*distance))
        expected = {(i, j) for i in range(9) for j in range(9)
                    if distance[i][j] == min(distance[i]) == min(columns[j])
                    and distance[i][j] <= 2}
        assert pairs_of(matches, frame) == expected


def test_index_matcher_pairs_rows_and_refuses_other_points():
    xyz_a, xyz_b = clouds()
    matches = IndexMatcher()(xyz_a, xyz_a + 1e-4)
    assert pairs_of(matches, 2) == {(i, i) for i in range(6)} and len(matches.batch) == 18
    with pytest.raises(ValueError, match='shuffle=False'):
        IndexMatcher()(xyz_a, xyz_b)


@pytest.mark.parametrize('matcher', [HungarianMatcher(1.), MutualNearestMatcher(1.)])
def test_no_pair_within_the_limit_is_no_match(matcher):
    matches = matcher(torch.zeros(2, 4, 3), torch.full((2, 4, 3), 50.))
    assert all(index.shape == (0,) and index.dtype == torch.long for index in matches)
