"""Colours of features and maps of similarity."""
import numpy as np
import torch

from simipu.geometry import sample_features
from simipu.visualization import PCAColours, cosine_similarity, upsample_to_image


def correlated_features(count=200, width=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    scales = torch.tensor([9.0, 5, 3, 1, 1, 1, 1, 1])
    turn = torch.linalg.qr(torch.randn(width, width, generator=generator))[0]
    return (torch.randn(count, width, generator=generator) * scales) @ turn + 4


def test_components_are_those_of_numpy_svd():
    features = correlated_features()
    centred = features.double().numpy() - features.double().numpy().mean(0)
    left, singular, _ = np.linalg.svd(centred, full_matrices=False)
    expected = (left * singular)[:, :3]
    found = PCAColours(features).project(features).numpy()
    signs = np.sign((found * expected).sum(0))
    np.testing.assert_allclose(found * signs, expected, atol=1e-9)
    assert (np.diff(found.var(0)) < 0).all(), 'components out of order'


def test_first_component_is_red_and_grows_brighter():
    features = correlated_features()
    pca = PCAColours(features)
    order = pca.project(features)[:, 0].argsort()
    colours = pca(features)
    assert colours.dtype == np.uint8
    red = colours[order, 2].astype(int)
    assert (np.diff(red) >= 0).all() and red[0] == 0 and red[-1] == 255


def test_colours_do_not_change_with_rotation_or_offset_of_the_feature_space():
    features = correlated_features()
    turn = torch.linalg.qr(torch.randn(8, 8, generator=torch.Generator().manual_seed(1)))[0]
    other = features @ turn + 7
    colours, turned = PCAColours(features)(features), PCAColours(other)(other)
    for channel in range(3):  # the sign of a component is a convention of the feature space
        same = turned[:, channel].astype(int)
        assert any(np.abs(colours[:, channel] - expected).max() <= 1
                   for expected in (same, 255 - same))


def test_alike_features_get_alike_colours_in_another_frame():
    features = correlated_features()
    pca = PCAColours(features)
    np.testing.assert_array_equal(pca(features[5:9]), pca(features)[5:9])


def test_narrow_features_leave_channels_black():
    features = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    assert not PCAColours(features)(features)[:, 0].any()


def test_enlarged_map_is_what_the_model_samples():
    """Padding included: 60 x 100 pixels of a network input of 64 x 128, cells of 16 pixels."""
    feature_map = torch.randn(1, 1, 4, 8, generator=torch.Generator().manual_seed(0))
    enlarged = upsample_to_image(feature_map[0, 0].numpy(), (64, 128), (60, 100))
    rows, columns = np.mgrid[:60, :100]
    pixels = torch.from_numpy(np.stack([columns.ravel(), rows.ravel()], axis=1)).float()[None]
    sampled = sample_features(feature_map, pixels, (64, 128))[0, :, 0]
    np.testing.assert_allclose(enlarged.ravel(), sampled, atol=1e-5)


def test_similarity_peaks_where_the_feature_was_planted():
    generator = torch.Generator().manual_seed(0)
    cells = torch.randn(6, 10, 16, generator=generator)
    query = torch.randn(16, generator=generator)
    cells[4, 7] = 3 * query
    similarity = cosine_similarity(query, cells)
    assert similarity.shape == (6, 10)
    torch.testing.assert_close(similarity[4, 7], torch.tensor(1.0))
    heat = upsample_to_image(similarity.numpy(), (96, 160), (96, 160))
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    assert abs(row - 71.5) <= 8 and abs(column - 119.5) <= 8, 'not in the cell of (4, 7)'
    expected = torch.nn.functional.cosine_similarity(cells, query, dim=-1)
    torch.testing.assert_close(similarity, expected)
