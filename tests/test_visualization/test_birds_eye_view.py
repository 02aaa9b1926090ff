"""Where points lie in the view from above."""
import numpy as np

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
    assert (view.x_range, view.y_range) == ((-10, 40), (-10, 20))
    assert view.height == 500
