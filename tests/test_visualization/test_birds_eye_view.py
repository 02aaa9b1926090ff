"""Where points lie in the view from above."""
import mmengine
import numpy as np
import pytest

from simipu.geometry import forward_axis, rotation_matrix
from simipu.visualization import BirdsEyeView

RED = np.array([0, 0, 255], np.uint8)


def test_a_known_point_is_drawn_at_its_place():
    """20 x 40 m at 0.1 m a pixel: (15, 5) is 5 m below the top and 15 m from the left edge."""
    view = BirdsEyeView((0, 20), (-20, 20), width=400)
    assert view.canvas().shape == (200, 400, 3)
    picture = view.draw(np.array([[15.05, 5.05, -1.0]]), RED, radius=0)
    assert np.argwhere((picture == RED).all(-1)).tolist() == [[49, 149]]


def test_forward_is_up_and_left_is_left():
    view = BirdsEyeView((-10, 30), (-20, 20), width=200)
    origin, ahead, left = view.pixels(np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]]))
    np.testing.assert_allclose(ahead - origin, [0, -50])
    np.testing.assert_allclose(left - origin, [-50, 0])


def test_contains_agrees_with_the_ranges():
    view = BirdsEyeView((0, 20), (-10, 10), width=100)
    points = np.random.default_rng(0).uniform(-30, 30, (500, 3))
    expected = ((points[:, 0] > 0) & (points[:, 0] <= 20) & (points[:, 1] > -10)
                & (points[:, 1] <= 10))
    assert 0 < expected.sum() < 500
    np.testing.assert_array_equal(view.contains(points), expected)


def test_covering_holds_the_clouds_and_the_origin_but_not_stray_returns():
    rng = np.random.default_rng(0)
    clouds = [rng.uniform([12, -7, 0], [38, 3, 1], (1000, 3)),
              rng.uniform([5, -3, 0], [9, 13, 1], (1000, 3))]
    clouds[0][0] = 500
    view = BirdsEyeView.covering(clouds, width=300)
    assert (view.ahead_range, view.left_range) == ((-10, 40), (-10, 20))
    assert view.height == 500


@pytest.mark.parametrize('ahead, left', [((1, 0), (0, 1)), ((0, 1), (-1, 0)), ((-1, 0), (0, -1)),
                                         ((0, -1), (1, 0))])
def test_whichever_axis_is_ahead_is_up(ahead, left):
    """(0, 1) is nuScenes: y ahead, x right. The arrows keep the LiDAR's own axes."""
    ahead, left = np.array(ahead, float), np.array(left, float)
    cloud = np.array([k * 30 * ahead + j * 15 * left for k in (0, 1) for j in (-1, 1)])
    view = BirdsEyeView.covering([cloud], 300, ahead)
    assert (view.ahead_range, view.left_range) == ((-10, 30), (-20, 20))
    assert view.height == 300
    origin, up, leftward = view.pixels(np.array([[0.0, 0.0], 10 * ahead, 10 * left]))
    np.testing.assert_allclose(up - origin, [0, -75], atol=1e-9)
    np.testing.assert_allclose(leftward - origin, [-75, 0], atol=1e-9)
    canvas = view.canvas()
    x_arrow = np.rint(view.pixels(np.array([[3.0, 0.0]]))[0]).astype(int)
    assert canvas[x_arrow[1], x_arrow[0]].tolist() == [0, 0, 220]


# Where the optical axes of real rigs point, in degrees to the left of ahead.
RIGS = dict(kitti=[0, 0], nuscenes=[0, 55, -55, 110, -110, 180], waymo=[0, 45, -45, 90, -90],
            dgp=[0, 45, -45, 135, -135, 180, 0])


@pytest.mark.parametrize('rig', RIGS)
@pytest.mark.parametrize('ahead', [(1, 0), (0, 1), (-1, 0), (0, -1)])
def test_cameras_tell_which_axis_is_ahead(rig, ahead):
    camera = np.array([[0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1.]])
    heading = np.arctan2(ahead[1], ahead[0])
    lidar2img = np.stack([camera @ rotation_matrix(-np.radians(angle) - heading) for angle in RIGS[rig]])
    assert forward_axis(lidar2img).tolist() == list(ahead)


def test_cameras_of_the_real_nuscenes_rig_look_along_y(real_data):
    infos = mmengine.load(next((real_data / 'nuscenes').glob('*.pkl')))
    cameras = infos['data_list'][0]['images'].values()
    assert forward_axis(np.array([camera['lidar2cam'] for camera in cameras])).tolist() == [0, 1]
