"""Shares of mixed data sets, and resuming."""
from collections import Counter

import pytest
from mmengine.dataset import BaseDataset, ConcatDataset

from simipu.engine import MixtureSampler


class Numbers(BaseDataset):
    """``size`` samples."""

    def __init__(self, size: int) -> None:
        self.size = size
        super().__init__()

    def load_data_list(self) -> list:
        return [dict(number=number) for number in range(self.size)]


def concat(*sizes) -> ConcatDataset:
    return ConcatDataset([Numbers(size) for size in sizes])


def epochs(sampler: MixtureSampler, number: int) -> list:
    """Indices of the first epochs, each as list."""
    result = []
    for epoch in range(number):
        sampler.set_epoch(epoch)
        result.append([int(index) for index in sampler])
    return result


@pytest.mark.parametrize('shares, counts', [
    (None, [40, 40, 40]), ([1, 1, 2], [30, 30, 60]), ([0, 0.5, 0.5], [0, 60, 60]),
    ([1, 1, 5], [17, 17, 86])])
def test_shares(shares, counts):
    sampler = MixtureSampler(concat(10, 30, 80), shares, seed=0)
    for order in epochs(sampler, 3):
        parts = Counter(0 if index < 10 else 1 if index < 40 else 2 for index in order)
        assert [parts[i] for i in range(3)] == counts and len(order) == 120 == len(sampler)


def test_every_sample_has_its_turn():
    """Within a part counts differ by one at most, over epochs that do not end with its rounds."""
    sampler = MixtureSampler(concat(7, 50), [1, 1], seed=3)
    seen = Counter(index for order in epochs(sampler, 5) for index in order)
    small = [seen[i] for i in range(7)]
    large = [seen[i] for i in range(7, 57)]
    assert sum(small) in (5 * 28, 5 * 29) and max(small) - min(small) <= 1
    assert max(large) - min(large) <= 1 and sum(small) + sum(large) == 5 * 57


def test_shuffled_and_seeded():
    first = epochs(MixtureSampler(concat(10, 30), seed=1), 2)
    assert first == epochs(MixtureSampler(concat(10, 30), seed=1), 2)
    assert first != epochs(MixtureSampler(concat(10, 30), seed=2), 2) and first[0] != first[1]
    # Mixed, not one part after the other.
    assert 3 < sum(index < 10 for index in first[0][:20]) < 17


def test_resumes_where_it_stopped():
    whole = iter(MixtureSampler(concat(10, 30), [3, 1], infinite=True, seed=0))
    expected = [(int(item), item.seed) for item, _ in zip(whole, range(100))]
    resumed = MixtureSampler(concat(10, 30), [3, 1], infinite=True, seed=0)
    resumed.skip(53)
    assert [(int(item), item.seed) for item, _ in zip(resumed, range(47))] == expected[53:]


def test_seed_reaches_the_part():
    dataset = concat(2, 3)
    index = next(item for item in MixtureSampler(dataset, seed=0) if int(item) >= 2)
    part, inner = dataset._get_ori_dataset_idx(index)
    assert (part, int(inner), inner.seed) == (1, int(index) - 2, index.seed)


@pytest.mark.parametrize('dataset, shares', [
    (Numbers(3), None), (concat(2, 3), [1]), (concat(2, 3), [1, -1]), (concat(2, 3), [0, 0])])
def test_shares_that_do_not_fit(dataset, shares):
    with pytest.raises(ValueError, match='expected a ConcatDataset and one share'):
        MixtureSampler(dataset, shares, seed=0)
