"""A sampler that mixes data sets of different sizes in given shares."""
from collections.abc import Sequence, Sized

import torch
from mmdet3d.registry import DATA_SAMPLERS

from ..errors import ConfigError
from ..seeding import mix_seeds
from .resumable_sampler import ResumableSampler


@DATA_SAMPLERS.register_module()
class MixtureSampler(ResumableSampler):
    """Each epoch takes a fixed share of samples from each part of a ``ConcatDataset``.

    An epoch is as long as the concatenated data set, and shuffled. Every part is gone through in
    random order, round after round: the epochs continue where the last one stopped, so that of a
    large part that is not exhausted in an epoch every sample has its turn before any comes again,
    and the samples of a small part come equally often, give or take one.

    Args:
        dataset: ``mmengine.dataset.ConcatDataset``.
        shares: One number for each of its parts; only their ratios matter. None: equal shares.
        infinite: Whether to go on with the next epoch for ever.
        seed: The same in all processes; MMEngine gives the one of ``randomness``.

    Raises:
        ConfigError: The data set has no parts, or ``shares`` does not fit them.
    """

    def __init__(self, dataset: Sized, shares: Sequence[float] | None = None,
                 infinite: bool = False, seed: int | None = None) -> None:
        super().__init__(dataset, shuffle=True, infinite=infinite, seed=seed)
        sizes = [len(part) for part in getattr(dataset, 'datasets', [])]
        shares = [1.0] * len(sizes) if shares is None else list(shares)
        if not sizes or len(shares) != len(sizes) or min(shares) < 0 or sum(shares) <= 0:
            raise ConfigError('MixtureSampler: expected a ConcatDataset and one share >= 0 for each '
                              f'of its parts, got {type(dataset).__name__} with {len(sizes)} parts '
                              f'and shares {shares}')
        self.sizes = sizes
        self.counts = _whole_numbers(shares, len(dataset))

    def __repr__(self) -> str:
        return f'MixtureSampler(counts={self.counts}, infinite={self.infinite}, seed={self.seed})'

    def _order(self, epoch: int) -> list[int]:
        order, start = [], 0
        for part, (size, count) in enumerate(zip(self.sizes, self.counts)):
            order += [start + index for index in self._part(part, size, epoch * count, count)]
            start += size
        generator = torch.Generator().manual_seed(mix_seeds(self.seed, epoch))
        return [order[place] for place in torch.randperm(len(order), generator=generator)]

    def _part(self, part: int, size: int, first: int, count: int) -> list[int]:
        """``count`` indices from the ``first`` on in the endless shuffled rounds of a part."""
        indices: list[int] = []
        while len(indices) < count:
            a_round, start = divmod(first + len(indices), size)
            generator = torch.Generator().manual_seed(mix_seeds(self.seed, part, a_round))
            order = torch.randperm(size, generator=generator).tolist()
            indices += order[start:start + count - len(indices)]
        return indices


def _whole_numbers(shares: Sequence[float], total: int) -> list[int]:
    """Whole numbers in the ratios of ``shares``, as nearly as can be, that add up to ``total``."""
    exact = [share * total / sum(shares) for share in shares]
    counts = [int(number) for number in exact]
    by_remainder = sorted(range(len(exact)), key=lambda i: counts[i] - exact[i])
    for i in by_remainder[:total - sum(counts)]:
        counts[i] += 1
    return counts
