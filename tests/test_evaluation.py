"""Retrieval and depth probe against numpy and closed forms."""
import copy
import logging
import math
import pickle
from functools import partial

import mmengine.evaluator.metric as mmengine_metric
import numpy as np
import pytest
import torch
from mmengine.logging import MMLogger

from simipu.errors import ConfigError
from simipu.evaluation import (
    CrossModalRetrieval,
    DepthProbeMetric,
    LinearDepthProbe,
    compare_metrics,
    depth_errors,
    retrieval_ranks,
    streaming,
)
from simipu.evaluation.linear_probe import LinearProbe, RowMoments


def test_ranks_by_sorting():
    rng = np.random.default_rng(0)
    query, key = rng.standard_normal((2, 30, 6))
    cosine = query @ key.T / np.linalg.norm(query, axis=1)[:, None] / np.linalg.norm(key, axis=1)
    expected = [list(np.argsort(-row)).index(i) for i, row in enumerate(cosine)]
    assert retrieval_ranks(torch.from_numpy(query), torch.from_numpy(key)).tolist() == expected


def frame(image, point, feature=None, depth=None):
    sample = dict(image_embedding=image, point_embedding=point)
    if point is not None:
        sample.update(point_index=torch.arange(len(point)))
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


def test_a_point_that_two_cameras_see_is_no_rival_of_itself():
    keys = torch.eye(4)
    both = dict(image_embedding=keys.repeat(2, 1), point_embedding=keys.repeat(2, 1),
                point_index=torch.tensor([5, 2, 9, 0, 5, 2, 9, 0]))
    metric = CrossModalRetrieval(gallery_frames=2)
    # The second frame's points of the same numbers are others: each of its pixels has a double in the first.
    metric.process({}, [both, frame(keys.flip(1) + keys, keys), both])
    results = metric.evaluate(3)
    assert results['retrieval/top1'] == pytest.approx(100 * 8 / 20)
    assert results['retrieval/chance_top1'] == pytest.approx(100 * (12 / 8 + 8 / 4) / 20)


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
    np.testing.assert_allclose([*probe.weights[:, 0], probe.mean[-1]], weights, atol=1e-6)


def frames_with_cues_of_their_own(num_frames, num_points=100, width=40):
    """Features and log depths of frames that all tell depth by one feature, and each by others of its own."""
    generator = torch.Generator().manual_seed(0)
    log_depth = torch.randn(num_frames, num_points, 1, generator=generator) / 2
    own = torch.randn(num_frames, num_points, width, generator=generator) / 3
    own += log_depth * torch.randn(num_frames, 1, width, generator=generator)
    shared = log_depth + torch.randn(num_frames, num_points, 1, generator=generator) / 2
    return torch.cat([shared, own], dim=2), log_depth[..., 0] + 2


def test_probe_of_few_frames_takes_the_penalty_that_is_best_for_other_frames():
    features, log_depth = frames_with_cues_of_their_own(30)
    labelled, others = features[:10].flatten(0, 1), features[10:].flatten(0, 1)

    def error(probe):
        predicted = probe.fit(labelled, log_depth[:10].flatten().exp()).predict(others).log()
        return (predicted - log_depth[10:].flatten()).square().mean()

    chosen = LinearDepthProbe()
    errors = {penalty: error(LinearDepthProbe(penalties=[penalty])) for penalty in chosen.penalties}
    assert error(chosen) == errors[chosen.penalty]
    assert chosen.penalty >= 1
    assert error(chosen) < 1.05 * min(errors.values()) < 0.9 * errors[1e-4]


def test_one_part_gets_the_middle_penalty_and_parts_stay_as_they_are():
    rows = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
    parts = [RowMoments(part) for part in rows.tensor_split(3)]
    before = copy.deepcopy(parts)
    LinearProbe().fit_moments(parts)
    for part, kept in zip(parts, before):
        assert part.count == kept.count
        assert torch.equal(part.scatter, kept.scatter) and torch.equal(part.mean, kept.mean)
    assert LinearProbe().fit_moments(parts[:1]).penalty == 0.1


def test_a_probe_that_cannot_keep_a_frame_is_refused():
    with pytest.raises(ConfigError, match='max_scored_rows=16 must hold the rows_per_frame=32'):
        DepthProbeMetric(max_scored_rows=16)


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


def test_probe_metric_of_one_frame_warns_and_does_not_end_the_training(caplog, monkeypatch):
    monkeypatch.setattr(MMLogger, 'get_current_instance', lambda: logging.getLogger('mmengine'))
    metric = DepthProbeMetric()
    metric.process({}, [frame(None, None, *planted(10, 0))])
    assert all(math.isnan(value) for value in metric.evaluate(1).values())
    assert 'at least 2 frames need points at 1 to 60 m; found 1 frame(s)' in caplog.text


def test_comparison_shows_the_ratio_of_shared_metrics():
    table = compare_metrics({'depth/abs_rel': 0.5, 'retrieval/top1': 0., 'time': 3.},
                            {'depth/abs_rel': 0.4, 'retrieval/top1': 7., 'time': 2., 'new/x': 1.})
    rows = [line.split() for line in table.splitlines()]
    assert rows == [['before', 'after', 'ratio'], ['depth/abs_rel', '0.500', '0.400', '0.80'],
                    ['retrieval/top1', '0.000', '7.000', '-']]


def test_embeddings_of_a_diverged_model_find_nothing():
    assert (retrieval_ranks(torch.full((5, 4), float('nan')), torch.randn(5, 4)) == 4).all()


# ---- sums in the place of frames ------------------------------------------------------------------


def made_up_frames(num_frames, num_points=40, width=6):
    """Frames whose features tell of depth, beside an offset that is large against their deviation."""
    generator = torch.Generator().manual_seed(num_frames)
    weights = torch.randn(width, generator=generator) / 5
    frames = []
    for _ in range(num_frames):
        feature = torch.randn(num_points, width, generator=generator)
        noise = torch.randn(num_points, generator=generator) / 3
        image = torch.randn(num_points, 8, generator=generator)
        point = image + torch.randn(num_points, 8, generator=generator)
        frames.append(frame(image, point, 100 + feature, (2.5 + feature @ weights + noise).exp()))
    return frames


def probe_of_all_rows(frames, rows_per_frame=32):
    """Errors by numpy, with every row in memory."""
    parts = []
    for item in frames:
        depth = item['pixel_depth'].double().numpy()
        rows = np.flatnonzero((depth >= 1) & (depth <= 60))
        rows = rows[::-(-len(rows) // rows_per_frame)]
        parts.append((item['pixel_feature'].double().numpy()[rows], np.log(depth[rows])))
    fitted, scored = parts[::2], parts[1::2]
    features = np.concatenate([x for x, _ in fitted])
    mean, std = features.mean(0), features.std(0, ddof=1)

    def inputs(part):
        x, y = (np.concatenate(column) for column in zip(*part))
        return np.c_[(x - mean) / std, np.ones(len(x))], y

    def ridge(part, penalty):
        x, y = inputs(part)
        regulariser = np.diag([penalty * len(x)] * len(mean) + [0])
        return np.linalg.solve(x.T @ x + regulariser, x.T @ y)

    def error(penalty):
        squares = []
        for turn in range(4):
            held_out, kept = fitted[turn::4], [part for number, part in enumerate(fitted) if number % 4 != turn]
            x, y = inputs(held_out)
            squares.append((x @ ridge(kept, penalty) - y)**2)
        return np.sum(np.concatenate(squares))

    penalty = min((1e-4, 1e-3, 1e-2, 1e-1, 1, 10), key=error)
    x, y = inputs(scored)
    limits = [function(np.concatenate([y for _, y in fitted])) for function in (np.min, np.max)]
    predicted, truth = np.exp(np.clip(x @ ridge(fitted, penalty), *limits)), np.exp(y)
    return dict(abs_rel=np.mean(abs(predicted - truth) / truth),
                rmse=np.sqrt(np.mean((predicted - truth)**2)),
                rmse_log=np.sqrt(np.mean((np.log(predicted) - y)**2)),
                delta1=np.mean(np.maximum(predicted / truth, truth / predicted) < 1.25))


def evaluate_in_processes(metric, frames, world_size, monkeypatch):
    """As several processes: each takes every world_size-th frame, and the last round is filled up from the start."""
    sums = []
    for rank in range(world_size):
        monkeypatch.setattr(streaming, 'get_dist_info', lambda: (rank, world_size))
        monkeypatch.setattr(mmengine_metric, 'collect_results', lambda own, size, *args, **kwargs: [*sums, *own])
        for start in range(rank, len(frames), world_size):
            metric.process({}, [frames[start]])
        if len(frames) % world_size and rank >= len(frames) % world_size:
            metric.process({}, [frames[rank - len(frames) % world_size]])
        if rank == world_size - 1:
            return metric.evaluate(len(frames))
        monkeypatch.setattr(metric, 'compute_metrics', lambda results: sums.append(copy.deepcopy(results[-1])) or {})
        metric.evaluate(len(frames))
        monkeypatch.undo()


@pytest.mark.parametrize('world_size', [1, 2, 3])
@pytest.mark.parametrize('num_frames', [9, 40])
def test_probe_metric_equals_regression_with_all_rows_in_memory(num_frames, world_size, monkeypatch):
    frames = made_up_frames(num_frames)
    results = evaluate_in_processes(DepthProbeMetric(), frames, world_size, monkeypatch)
    expected = probe_of_all_rows(frames)
    assert results == pytest.approx({f'depth_probe/{name}': value for name, value in expected.items()}, abs=1e-6)


def test_retrieval_in_two_processes_ranks_the_galleries_of_each(monkeypatch):
    frames = made_up_frames(9)
    frames[4] = {name: rows[:0] for name, rows in frames[4].items()}  # nothing is visible
    results = evaluate_in_processes(CrossModalRetrieval(gallery_frames=2), frames, 2, monkeypatch)
    ranks, chances = [], []
    for gallery in ([0, 2], [4, 6], [8], [1, 3], [5, 7]):
        images, points = (torch.cat([frames[number][f'{side}_embedding'] for number in gallery])
                          for side in ('image', 'point'))
        cosine = torch.nn.functional.normalize(images, dim=1) @ torch.nn.functional.normalize(points, dim=1).T
        ranks += (cosine > cosine.diagonal()[:, None]).sum(1).tolist()
        chances += [1 / len(images)] * len(images)
    assert results == pytest.approx({
        'retrieval/top1': 100 * np.mean(np.array(ranks) < 1), 'retrieval/top5': 100 * np.mean(np.array(ranks) < 5),
        'retrieval/chance_top1': 100 * np.mean(chances), 'retrieval/pairs_per_frame': 320 / 9,
        'retrieval/over_chance': np.mean(np.array(ranks) < 1) / np.mean(chances)})


@pytest.mark.parametrize('metric', [CrossModalRetrieval, partial(DepthProbeMetric, max_scored_rows=100)])
def test_what_is_kept_does_not_grow_with_the_frames(metric):
    def bytes_kept(num_frames):
        kept = metric()
        for item in made_up_frames(num_frames):
            kept.process({}, [item])
        return len(pickle.dumps(kept))

    assert bytes_kept(400) < 1.05 * bytes_kept(40)


def test_rows_to_score_are_spread_over_all_frames():
    """200 frames of 20 rows are four times as many as may stay; so every fourth of them does."""
    frames = made_up_frames(400)
    thinned, of_few = DepthProbeMetric(max_scored_rows=1000), DepthProbeMetric()
    thinned.process({}, frames)
    of_few.process({}, [item if number % 2 == 0 or number % 8 == 1 else
                        {name: rows[:0] for name, rows in item.items()} for number, item in enumerate(frames)])
    assert thinned.evaluate(400) == pytest.approx(of_few.evaluate(400))


def test_probe_metric_uses_few_points_of_each_frame():
    frames = made_up_frames(12, num_points=1000)
    few = DepthProbeMetric(rows_per_frame=32)
    few.process({}, frames)
    assert few.evaluate(12)['depth_probe/rmse'] == pytest.approx(probe_of_all_rows(frames, 32)['rmse'], abs=1e-6)
