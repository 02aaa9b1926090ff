"""Which cells around a point are told to be occupied, by brute force and around shapes that are known."""
import numpy as np
import pytest
import torch
from mmdet3d.structures import LiDARPoints

from simipu.datasets.transforms import DescribeOccupancy, SamplePoints
from simipu.datasets.transforms.occupancy import occupied_cells
from simipu.errors import ConfigError
from simipu.neighbour_cells import STEPS, mirror_cells

QUARTER_TURN = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])


def random_cloud(num_points=400):
    return np.random.default_rng(0).uniform([-9, -9, -2], [9, 9, 2], (num_points, 3))


@pytest.mark.parametrize('cell', [0.7, 2.4])
def test_by_brute_force(cell):
    cloud = random_cloud()
    squares = np.floor(cloud[:, :2] / cell)
    found = occupied_cells(cloud, cloud[::9], cell)
    for point, occupied in zip(cloud[::9], found):
        angle = np.arctan2(point[1], point[0])
        for (away, left, up), is_occupied in zip(STEPS, occupied):
            centre = point + cell * np.array([away * np.cos(angle) - left * np.sin(angle),
                                              away * np.sin(angle) + left * np.cos(angle), up])
            inside = (squares == np.floor(centre[:2] / cell)).all(1) & (abs(cloud[:, 2] - centre[2]) < cell / 2)
            assert is_occupied == inside.any()
    assert 0.05 < found.mean() < 0.95


def test_around_a_road_and_a_wall():
    """Beside a point of the road there is road, and nothing above; behind and before the wall there is nothing."""
    steps = np.arange(-10, 10, 0.1)
    road = np.stack([*np.meshgrid(steps + 20, steps), np.full((200, 200), -1.7)], axis=-1).reshape(-1, 3)
    wall = np.stack([np.full((200, 200), 32.3), *np.meshgrid(steps, steps / 2)], axis=-1).reshape(-1, 3)
    cloud = np.concatenate([road, wall])
    on_road, on_wall = occupied_cells(cloud, np.array([[20.05, 0.05, -1.7], [32.3, 0.05, 0.05]]), 0.8)
    np.testing.assert_array_equal(on_road, [up == 0 for _, _, up in STEPS])
    np.testing.assert_array_equal(on_wall, [away == 0 for away, _, _ in STEPS])


def test_it_is_the_same_all_around_the_lidar_and_mirrored_in_a_mirror():
    cloud = random_cloud()
    occupied = occupied_cells(cloud, cloud, 0.8)
    turned = cloud @ QUARTER_TURN.T
    np.testing.assert_array_equal(occupied_cells(turned, turned, 0.8), occupied)
    mirrored = cloud * [1, -1, 1]
    found = torch.from_numpy(occupied_cells(mirrored, mirrored, 0.8))
    assert torch.equal(found, mirror_cells(torch.from_numpy(occupied)))
    assert not np.array_equal(found, occupied)


def test_a_far_and_lonely_point():
    """A stray return a thousand kilometres away costs neither memory nor precision."""
    cloud = np.concatenate([random_cloud(), [[1e6 + 0.4, 0.4, 1e4 + 0.4]]])
    occupied = occupied_cells(cloud, cloud, 0.8)
    np.testing.assert_array_equal(occupied[:-1], occupied_cells(cloud[:-1], cloud[:-1], 0.8))
    assert not occupied[-1].any()


def test_each_size_looks_into_the_cloud_that_was_sampled():
    cloud = random_cloud(2000).astype(np.float32)
    results = SamplePoints(100)(dict(points=LiDARPoints(cloud, points_dim=3)))
    occupancy = DescribeOccupancy(cells=(0.5, 1.5))(results)['occupancy']
    xyz = results['points'].coord.numpy().astype(np.float64)
    assert occupancy.shape == (100, 52) and occupancy.dtype == bool
    for size, columns in ((0.5, slice(26)), (1.5, slice(26, 52))):
        np.testing.assert_array_equal(occupancy[:, columns], occupied_cells(cloud.astype(np.float64), xyz, size))


def test_errors_tell_the_remedy():
    with pytest.raises(ConfigError, match='put it behind SamplePoints'):
        DescribeOccupancy()(dict(points=LiDARPoints(random_cloud(), points_dim=3)))
    for cells in ((), (0.8, 0)):
        with pytest.raises(ConfigError, match='sizes in metres, more than 0'):
            DescribeOccupancy(cells)
