"""Fine-tuning: its loss by brute force, its schedule, and that it learns."""
import numpy as np
import pytest
import torch

from simipu.evaluation import depth_errors
from simipu.evaluation.transfer import (
    DepthModel,
    FineTuning,
    build_backbone,
    fine_tune,
    load_depth_frames,
    scale_invariant_loss,
    score,
)
from simipu.evaluation.transfer.finetune import random_batches


def test_loss_is_half_squared_errors_and_half_errors_of_pairs():
    """Equation 1 of the paper, over all pairs of pixels, in place of the closed form of its equation 3."""
    predicted, target = torch.randn(2, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    pairs = [((predicted[i] - predicted[j]) - (target[i] - target[j]))**2
             for i in range(7) for j in range(7)]
    scale_invariant = sum(pairs) / (2 * 7**2)
    expected = 0.5 * (predicted - target).square().mean() + 0.5 * scale_invariant
    torch.testing.assert_close(scale_invariant_loss(predicted, target), expected)


def test_rate_rises_for_a_tenth_and_falls_to_nothing():
    rates = [FineTuning(100, 4, 1e-3).rate(step) for step in range(100)]
    assert np.argmax(rates) in (9, 10) and max(rates) > 0.97 and rates[0] < 0.11 and rates[-1] < 0.001
    assert all(np.diff(rates[10:]) < 0)
    assert FineTuning(1, 4, 1e-3).rate(0) == 1


def test_every_image_comes_once_before_any_comes_again():
    batches = random_batches(6, FineTuning(steps=5, batch_size=4, learning_rate=1))
    assert [len(batch) for batch in batches] == [4] * 5
    order = sum(batches, [])
    assert all(sorted(order[start:start + 6]) == list(range(6)) for start in (0, 6, 12))


def test_learns_what_brightness_tells(bright_frames, bright_cfg):
    labelled, scored = bright_frames.of(range(8)), bright_frames.of(range(8, 12))
    constant = labelled.depth.log().mean().exp().expand_as(scored.depth)
    untrained = score(DepthModel(build_backbone(bright_cfg), -1, labelled), scored)
    model = fine_tune(build_backbone(bright_cfg), -1, labelled, FineTuning(40, 4, 3e-3), seed=0)
    error = score(model, scored).abs_rel
    assert error < 0.6 * depth_errors(constant, scored.depth).abs_rel
    assert error < 0.6 * untrained.abs_rel
    # Read out where the points are: the same depths for the mirror images.
    mirrored = type(scored)([item.flipped() for item in scored], scored.preprocessor)
    assert score(model, mirrored).abs_rel == pytest.approx(error, rel=0.5)


def test_the_seed_decides_everything(bright_cfg, on_the_cpu):
    frames = load_depth_frames(bright_cfg)

    def trained(seed):
        torch.rand(seed + 3)  # the state of the generators before does not matter
        model = fine_tune(build_backbone(bright_cfg), -1, frames, FineTuning(2, 4, 1e-3), seed)
        return model.state_dict()

    first, again, other = trained(1), trained(1), trained(2)
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    changed = {name.split('.')[0] for name, value in first.items() if not torch.equal(value, other[name])}
    assert changed == {'backbone', 'decoder'}
