"""Pictures: dots where points are, near ones on top, and sheets that hold every picture."""
import numpy as np
import pytest

from simipu.visualization import contact_sheet, depth_colours, draw_lidar_overlay


def test_overlay_draws_each_point_at_its_pixel_with_near_ones_on_top():
    image = np.zeros((40, 60, 3), np.uint8)
    pixels, depth = np.array([[10.2, 5.4], [50.0, 30.0], [50.0, 30.0]]), np.array([5.0, 9.0, 40.0])
    overlay = draw_lidar_overlay(image, pixels, depth, radius=0)
    assert not image.any(), 'the input was drawn on'
    assert {(y, x) for y, x in zip(*np.nonzero(overlay.any(-1)))} == {(5, 10), (30, 50)}
    colours = depth_colours(depth)
    np.testing.assert_array_equal(overlay[5, 10], colours[0])
    np.testing.assert_array_equal(overlay[30, 50], colours[1])


def test_colours_go_from_red_to_blue():
    near, far, beyond = depth_colours(np.array([3.0, 55.0, 900.0])).astype(int)
    assert near[2] > near[0] and beyond[0] > beyond[2] and (near != far).any()


def test_contact_sheet_holds_every_picture_at_its_ratio():
    images = [np.full((20, 40, 3), 50, np.uint8), np.full((30, 30, 3), 100, np.uint8),
              np.full((10, 40, 3), 150, np.uint8)]
    sheet = contact_sheet(images, columns=2, cell_width=80)
    for value, area in ((50, 80 * 40), (100, 80 * 80), (150, 80 * 20)):
        assert (sheet == value).all(-1).sum() == area
    assert contact_sheet(images, ['a', 'b', 'c'], 2, 80).shape[0] > sheet.shape[0]
    with pytest.raises(ValueError):
        contact_sheet(images, ['a'])
