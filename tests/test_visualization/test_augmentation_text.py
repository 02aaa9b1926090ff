"""What is read back from the matrices of known augmentations."""
import numpy as np
import pytest

from simipu import geometry
from simipu.visualization import describe_image_augmentation, describe_point_augmentation
from simipu.visualization.augmentations import split_image_augmentation, split_point_augmentation


@pytest.mark.parametrize('flip', [False, True])
def test_resize_crop_and_flip_are_told_apart(flip):
    matrix = geometry.crop_matrix(30, 20) @ geometry.resize_matrix(1.5, 1.5)
    if flip:
        matrix = geometry.flip_matrix(300) @ matrix
    found = split_image_augmentation(matrix, (200, 400), (150, 300))
    np.testing.assert_allclose(found[:3], [1.5, 1.5, 0], atol=1e-9)
    assert found.flipped == flip
    # 300 x 150 pixels from (30, 20) of the enlarged image, in pixels of the original one
    np.testing.assert_allclose(found.window, np.array([30, 20, 330, 170]) / 1.5)
    text = describe_image_augmentation(matrix, (200, 400), (150, 300))
    flipped = 'flipped' if flip else 'not flipped'
    assert text == f'scale 1.50, {flipped}, crop u 20-220 v 13-113 of 400 x 200'


def test_image_rotation_is_clockwise_as_seen():
    rotation = geometry.image_rotation_matrix(np.radians(5), 100, 200)
    matrix = rotation @ geometry.resize_matrix(0.5, 0.4)
    found = split_image_augmentation(matrix, (250, 400), (100, 200))
    np.testing.assert_allclose(found.angle, 5)
    right_of_centre = matrix @ [399, 124.5, 1, 1]
    assert right_of_centre[1] > 49.5, 'clockwise moves the right-hand side down'
    assert describe_image_augmentation(matrix, (250, 400), (100, 200)) == (
        'scale 0.50 x 0.40, rotated 5.0° clockwise, not flipped, not cropped')


def test_rotation_of_a_flipped_image_is_as_seen_in_the_result():
    rotation = geometry.image_rotation_matrix(np.radians(5), 100, 200)
    found = split_image_augmentation(rotation @ geometry.flip_matrix(200), (100, 200), (100, 200))
    assert found.flipped and np.isclose(found.angle, 5)


@pytest.mark.parametrize('mirror', [False, True])
def test_parts_of_a_second_view_give_its_matrix_again(mirror):
    matrix = geometry.scaling_matrix(0.9) @ geometry.rotation_matrix(0.7)
    if mirror:
        matrix = matrix @ geometry.mirror_matrix('y')
    matrix = geometry.translation_matrix([1, 2, 3]) @ geometry.about_centre(matrix, [35, 0, -1])
    found = split_point_augmentation(matrix)
    assert found.mirrored == mirror and np.isclose(found.scale, 0.9)
    np.testing.assert_allclose(found.angle, np.degrees(0.7))
    np.testing.assert_allclose(found.origin, (matrix @ [0, 0, 0, 1])[:3])
    text = describe_point_augmentation(matrix)
    mirrored = 'mirrored' if mirror else 'not mirrored'
    assert text.startswith(f'rotated +40.1° about z, scale 0.90, {mirrored}')
