"""What is told of the surface around a point, against shapes whose surface is known and by brute force."""
import numpy as np
import pytest
import torch
from mmdet3d.structures import LiDARPoints

from simipu.datasets.transforms import DescribeOccupancy, DescribeSurroundings, SamplePoints
from simipu.datasets.transforms.surroundings import column_heights, surface_normals
from simipu.errors import ConfigError


def test_normals_of_a_plane_and_a_ball_face_the_lidar():
    rng = np.random.default_rng(0)
    ground = np.c_[rng.uniform(-5, 5, (2000, 2)) + [15, 0], np.full(2000, -1.7)]
    direction = rng.normal(size=(20000, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    direction *= -np.sign(direction[:, :1])  # the half that the LiDAR sees
    cloud = np.concatenate([ground, direction * 3 + [30, 0, 0]])
    inner = np.flatnonzero(np.abs(ground[:, :2] - [15, 0]).max(1) < 4)[:50]
    normals = surface_normals(cloud, cloud[inner])
    np.testing.assert_allclose(normals, np.tile([0, 0, 1.0], (50, 1)), atol=1e-6)
    facing = 2000 + np.flatnonzero(direction[:, 0] < -0.5)[:50]
    found = surface_normals(cloud, cloud[facing])
    assert np.isnan(found).any(1).sum() < 10
    cosine = (found * direction[facing - 2000]).sum(1)
    assert np.nanmin(cosine) > np.cos(np.deg2rad(5))


def test_a_plane_through_the_origin_has_unit_normals():
    rng = np.random.default_rng(4)
    ground = np.c_[rng.uniform(-5, 5, (500, 2)), np.zeros(500)]
    np.testing.assert_allclose(np.abs(surface_normals(ground, ground[:20])), np.tile([0, 0, 1.0], (20, 1)), atol=1e-9)


def test_a_beam_and_a_bush_have_no_normals():
    rng = np.random.default_rng(1)
    beam = np.c_[np.full(50, 20.0), np.linspace(-2, 2, 50), np.zeros(50)]
    bush = rng.uniform(-1, 1, (3000, 3)) + [10, 10, 0]
    cloud = np.concatenate([beam, bush])
    normals = surface_normals(cloud, cloud[np.arange(0, 1000, 7)])
    assert np.isnan(normals[:8]).all() and np.isnan(normals).any(1).mean() > 0.9


@pytest.mark.parametrize('shift', [0, 5e6])  # northings in metres
def test_heights_of_columns_by_brute_force(shift):
    rng = np.random.default_rng(2)
    cloud = rng.uniform([-20, -20, -2], [20, 20, 3], (500, 3))
    cloud[:, 1] += shift
    square = np.floor((cloud[:, :2] - cloud[:, :2].min(0)) / 3)
    expected = [np.ptp(cloud[(square == own).all(1), 2]) for own in square[::7]]
    found = column_heights(cloud, cloud[::7], cell=3)
    np.testing.assert_array_equal(found, expected)
    assert (found == 0).any() and (found > 4).any()


def street():
    """(N, 3): a level road below the LiDAR, a wall 4 m high before it, and the rows of the wall."""
    rng = np.random.default_rng(3)
    road = np.c_[rng.uniform(5, 20, 4000), rng.uniform(-8, 8, 4000), np.full(4000, -1.7)]
    wall = np.c_[np.full(4000, 25.0), rng.uniform(-8, 8, 4000), rng.uniform(-2, 2, 4000)]
    return torch.from_numpy(np.concatenate([road, wall])).float()


def described(cloud, num_points=500):
    np.random.seed(0)
    results = SamplePoints(num_points)(dict(points=LiDARPoints(cloud, points_dim=3)))
    return DescribeSurroundings()(results)


def test_road_and_wall_are_told_apart():
    results = described(street())
    xyz, surroundings = results['points'].tensor, torch.from_numpy(results['surroundings'])
    assert surroundings.shape == (500, 3) and surroundings.dtype == torch.float32
    inner = xyz[:, 1].abs() < 7
    road, wall = inner & (xyz[:, 0] < 19), inner & (xyz[:, 0] > 20)
    rays = (xyz / xyz.norm(dim=1, keepdim=True)).abs()
    assert surroundings[road, 0].min() > 0.99 and surroundings[road, 2].max() < 0.01
    torch.testing.assert_close(surroundings[road, 1], rays[road, 2], atol=0.01, rtol=0)
    assert surroundings[wall, 0].max() < 0.01
    torch.testing.assert_close(surroundings[wall, 1], rays[wall, 0], atol=0.01, rtol=0)
    assert (surroundings[wall, 2] - np.log(5)).abs().max() < 0.15


def test_neighbours_are_those_of_the_whole_cloud():
    """A tenth of the points finds the same surfaces as all of them."""
    few, all_points = described(street(), 100), described(street(), 8000)
    rows = [int((all_points['points'].tensor == point).all(1).nonzero()[0]) for point in few['points'].tensor]
    np.testing.assert_array_equal(few['surroundings'], all_points['surroundings'][rows])


@pytest.mark.parametrize('transform', [DescribeSurroundings, DescribeOccupancy])
def test_no_more_than_the_first_points_are_described(transform):
    results = SamplePoints(3000)(dict(points=LiDARPoints(street(), points_dim=3)))
    key, = transform()(dict(results)).keys() - results.keys()
    every, most, first = (transform(**kwargs)(dict(results))[key] for kwargs in (
        dict(max_points=3000), {}, dict(max_points=30)))
    assert (len(every), len(most), len(first)) == (3000, 2048, 30)
    np.testing.assert_array_equal(most, every[:2048])
    np.testing.assert_array_equal(first, every[:30])


def test_a_mirror_image_is_described_alike():
    cloud = street()
    mirrored = described(cloud * torch.tensor([1.0, -1, 1]))['surroundings'][:, :2]
    np.testing.assert_allclose(mirrored, described(cloud)['surroundings'][:, :2], atol=1e-5)


def test_without_sampling_the_remedy_is_told():
    with pytest.raises(ConfigError, match='put it behind SamplePoints'):
        DescribeSurroundings()(dict(points=LiDARPoints(street(), points_dim=3)))
