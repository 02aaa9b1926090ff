"""A sampler that can start anywhere in the training, and seeds each sample."""
import math
from collections.abc import Iterator, Sized
from itertools import count

import torch
from mmdet3d.registry import DATA_SAMPLERS
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler

from ..errors import ConfigError
from ..seeding import SeededIndex, mix_seeds


@DATA_SAMPLERS.register_module()
class ResumableSampler(Sampler):
    """Reshuffles every epoch and distributes the samples over the processes.

    In place of MMEngine's ``DefaultSampler`` (for loops that count epochs) and ``InfiniteSampler``
    (``infinite=True``, for loops that count iterations). ``ResumeHook`` lets it start where a
    checkpoint was saved without loading what came before.

    Yields ``SeededIndex``; the data set uses the seed by ``sample_seed``.

    Args:
        dataset: What to sample from.
        shuffle: Whether to shuffle; otherwise every epoch has the order of the data set.
        infinite: Whether to go on with the next epoch for ever.
        seed: The same in all processes; MMEngine gives the one of ``randomness``.

    Attributes:
        batch_size: So many successive samples have the same ``batch_seed``, in all processes.
            ``ResumeHook`` sets it to that of the data loader.

    Raises:
        ConfigError: The data set is empty.
    """
    batch_size = 1

    def __init__(self, dataset: Sized, shuffle: bool = True, infinite: bool = False,
                 seed: int | None = None) -> None:
        if len(dataset) == 0:
            raise ConfigError(f'{type(dataset).__name__} has no sample; check its info file and filters')
        self.dataset = dataset
        self.shuffle = shuffle
        self.infinite = infinite
        self.seed = sync_random_seed() if seed is None else seed
        self.rank, self.world_size = get_dist_info()
        self.epoch = 0
        self._skip = 0

    def __len__(self) -> int:
        """Samples of one process in one epoch; the last ones come twice to make it even."""
        return math.ceil(len(self.dataset) / self.world_size)

    def __iter__(self) -> Iterator[SeededIndex]:
        first = self._skip + (0 if self.infinite else self.epoch * len(self))
        self._skip = 0
        for number in count(first):
            epoch, place = divmod(number, len(self))
            if not self.infinite and epoch > self.epoch:
                return
            if place == 0 or number == first:
                order = self._order(epoch)
            place = place * self.world_size + self.rank
            batch = number - (number - first) % self.batch_size
            yield SeededIndex(order[place % len(order)], mix_seeds(self.seed, epoch, place),
                              mix_seeds(self.seed, batch))

    def __repr__(self) -> str:
        return f'ResumableSampler(shuffle={self.shuffle}, infinite={self.infinite}, seed={self.seed})'

    def set_epoch(self, epoch: int) -> None:
        """Called by MMEngine before each epoch; an infinite sampler counts its own."""
        self.epoch = epoch

    def skip(self, num_samples: int) -> None:
        """Let the next iteration leave out the first samples of this process."""
        self._skip = num_samples

    def _order(self, epoch: int) -> list[int]:
        if not self.shuffle:
            return list(range(len(self.dataset)))
        generator = torch.Generator().manual_seed(mix_seeds(self.seed, epoch))
        return torch.randperm(len(self.dataset), generator=generator).tolist()
