"""Dots where points are, near ones on top, and sheets that hold every picture."""
import cv2
import numpy as np
import pytest

from simipu.visualization import (
    blend_heat_map,
    captioned,
    colour_bar,
    contact_sheet,
    depth_colours,
    draw_lidar_overlay,
    draw_segments,
    hstack,
    share_colours,
    vstack,
    write_png,
    zoom,
)


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


def test_zoomed_pixels_stay_on_what_they_marked():
    """A bright block of 2 x 2 pixels, whose centre lies between pixels, at three scales."""
    image = np.zeros((40, 80, 3), np.uint8)
    image[10:12, 30:32] = 255
    for width in (40, 240, 800):
        zoomed, pixels = zoom(image, np.array([[30.5, 10.5]]), width)
        rows, columns = np.nonzero(zoomed[..., 0] > 40)
        weights = zoomed[rows, columns, 0].astype(float)
        centre = np.average(columns, weights=weights), np.average(rows, weights=weights)
        np.testing.assert_allclose(pixels[0], centre, atol=0.1)
        assert zoomed.shape[:2] == (width // 2, width)


def test_segments_join_their_ends():
    image = np.zeros((20, 30, 3), np.uint8)
    drawn = draw_segments(image, np.array([[5.0, 4.0]]), np.array([[25.0, 4.0]]), (0, 0, 255))
    assert (drawn[4, 5:26, 2] > 100).all() and not drawn[..., :2].any()
    assert not drawn[7:].any() and not drawn[4, :3].any() and not image.any()


def test_heat_runs_from_blue_to_red_over_a_grey_image():
    image = np.full((2, 2, 3), (0, 200, 0), np.uint8)
    heat = np.array([[0.05, 0.95], [0.05, 0.95]])
    cold, hot = blend_heat_map(image, heat)[0].astype(int)
    assert cold[0] > cold[2] and hot[2] > hot[0]
    grey = blend_heat_map(image, heat, alpha=0)
    assert (grey == cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)[..., None]).all()


def test_captions_wrap_and_leave_the_picture_alone():
    picture = np.random.default_rng(0).integers(0, 255, (10, 120, 3), np.uint8)
    one_line, wrapped = captioned(picture, 'short'), captioned(picture, 'far too long ' * 3)
    for result in (one_line, wrapped):
        np.testing.assert_array_equal(result[-10:], picture)
        assert (result[:-10] < 100).any(), 'no text'
    assert wrapped.shape[0] > one_line.shape[0]


def test_stacks_are_flush_on_white():
    small, large = np.zeros((5, 10, 3), np.uint8), np.zeros((20, 30, 3), np.uint8)
    below, beside = vstack([small, large], gap=2), hstack([small, large], gap=2)
    assert below.shape == (27, 30, 3) and (below[:5, 10:] == 255).all() and not below[7:].any()
    assert beside.shape == (20, 42, 3)
    assert (beside[:15, :12] == 255).all() and not beside[:, 12:].any()


def test_colour_bar_shows_the_colours_of_its_values():
    values = np.linspace(0, 1, 90)
    bar = colour_bar(share_colours, values, [0, 0.5, 1], ' x')
    np.testing.assert_array_equal(bar[0], share_colours(values))
    assert (bar[-12:] < 100).any(), 'no text'


def test_png_is_read_back_as_it_was(tmp_path):
    picture = np.random.default_rng(0).integers(0, 255, (10, 12, 3), np.uint8)
    path = write_png(picture, tmp_path / 'new' / 'picture.png')
    np.testing.assert_array_equal(cv2.imread(str(path)), picture)
