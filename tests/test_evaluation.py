"""Retrieval and depth probe against numpy and closed forms."""
import numpy as np
import pytest
import torch

from simipu.evaluation import (
    CrossModalRetrieval,
    DepthProbeMetric,
    LinearDepthProbe,
    compare_metrics,
    depth_errors,
    retrieval_ranks,
)


def test_ranks_by_sorting():
    rng = np.random.default_rng(0)
    query, key = rng.standard_normal((2, 30, 6))
    cosine = query @ key.T / np.linalg.norm(query, axis=1)[:, None] / np.linalg.norm(key, axis=1)
    expected = [list(np.argsort(-row)).index(i) for i, row in enumerate(cosine)]
    assert retrieval_ranks(torch.from_numpy(query), torch.from_numpy(key)).tolist() == expected


def frame(image, point, feature=None, depth=None):
    sample = dict(image_embedding=image, point_embedding=point)
    if feature is not None:
        sample.update(pixel_feature=feature, pixel_depth=depth)
    return sample


def test_retrieval_competes_within_galleries():
    one_hot = torch.eye(4)
    metric = CrossModalRetrieval(gallery_frames=2)
    # Alone, each frame would be perfect; the frames of the first gallery hold each other's doubles.
    metric.process({}, [frame(one_hot, one_hot), frame(one_hot, one_hot), frame(one_hot, one_hot)])
    results = metric.evaluate(3)
    assert results['retrieval/top1'] == pytest.approx(100 * 4 / 12)
    assert results['retrieval/top5'] == 100
    assert results['retrieval/chance_top1'] == pytest.approx(100 * (8 / 8 + 4 / 4) / 12)
    assert results['retrieval/pairs_per_frame'] == 4


def test_retrieval_without_any_visible_point_is_zero_not_an_error():
    metric = CrossModalRetrieval()
    metric.process({}, [frame(torch.zeros(0, 4), torch.zeros(0, 4))])
    assert metric.evaluate(1)['retrieval/top1'] == 0


def test_depth_errors_by_hand():
    errors = depth_errors(torch.tensor([10., 30.]), torch.tensor([8., 40.]))
    assert errors.abs_rel == pytest.approx((2 / 8 + 10 / 40) / 2)
    assert errors.rmse == pytest.approx(np.sqrt((4 + 100) / 2))
    assert errors.rmse_log == pytest.approx(np.sqrt((np.log(10 / 8)**2 + np.log(3 / 4)**2) / 2))
    assert errors.delta1 == pytest.approx(0)
    assert depth_errors(torch.tensor([9.]), torch.tensor([8.])).delta1 == 1


def planted(num_points, seed):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(num_points, 6, generator=generator) * torch.tensor([1, 5, .1, 1, 1, 1.]) + 3
    log_depth = 2.5 + (features - 3) @ torch.tensor([.2, .05, 2., 0, 0, 0])
    return features, log_depth.exp().clamp(1, 60)


def test_probe_equals_ridge_regression_solved_by_least_squares():
    features, depth = planted(400, 0)
    probe = LinearDepthProbe(penalties=[0.01]).fit(features, depth)
    standardised = ((features - features.mean(0)) / features.std(0)).double().numpy()
    inputs = np.c_[standardised, np.ones(400)]
    # Ridge as ordinary least squares with rows of sqrt(penalty) appended; none for the constant.
    inputs = np.r_[inputs, np.sqrt(0.01 * 400) * np.eye(7)[:6]]
    target = np.r_[depth.double().log().numpy(), np.zeros(6)]
    weights = np.linalg.lstsq(inputs, target, rcond=None)[0]
    np.testing.assert_allclose(probe.weights.numpy(), weights, atol=1e-6)


def test_probe_metric_fits_on_one_half_and_scores_the_other():
    metric = DepthProbeMetric()
    batch = [frame(None, None, *planted(200, seed)) for seed in range(4)]
    metric.process({}, batch)
    assert metric.evaluate(4)['depth_probe/abs_rel'] < 0.05
    # Features that say nothing of the depth: no better than a constant.
    rng = torch.Generator().manual_seed(9)
    metric.process({}, [dict(item, pixel_feature=torch.randn(200, 6, generator=rng)) for item in batch])
    blind = metric.evaluate(4)['depth_probe/abs_rel']
    scored = torch.cat([item['pixel_depth'] for item in batch[1::2]])
    fitted = torch.cat([item['pixel_depth'] for item in batch[::2]])
    constant = depth_errors(fitted.log().mean().exp().expand_as(scored), scored).abs_rel
    assert blind == pytest.approx(constant, rel=0.1)


def test_probe_metric_needs_two_frames():
    metric = DepthProbeMetric()
    metric.process({}, [frame(None, None, *planted(10, 0))])
    with pytest.raises(ValueError, match='at least 2 frames'):
        metric.evaluate(1)


def test_comparison_shows_the_ratio_of_shared_metrics():
    table = compare_metrics({'depth/abs_rel': 0.5, 'retrieval/top1': 0., 'time': 3.},
                            {'depth/abs_rel': 0.4, 'retrieval/top1': 7., 'time': 2., 'new/x': 1.})
    rows = [line.split() for line in table.splitlines()]
    assert rows == [['before', 'after', 'ratio'], ['depth/abs_rel', '0.500', '0.400', '0.80'],
                    ['retrieval/top1', '0.000', '7.000', '-']]


def test_embeddings_of_a_diverged_model_find_nothing():
    assert (retrieval_ranks(torch.full((5, 4), float('nan')), torch.randn(5, 4)) == 4).all()


def test_probe_metric_keeps_few_points_of_each_frame():
    metric = DepthProbeMetric(rows_per_frame=32)
    metric.process({}, [frame(None, None, *planted(1000, 0)), frame(None, None, *planted(7, 1))])
    (features, depth), (few, _) = metric.results
    assert len(features) == len(depth) <= 32 and len(features) > 16 and len(few) > 4
