"""Random numbers that depend on what is computed, not on what was computed before.

The randomness of a training sample follows from (seed, epoch, place in the epoch), what the samples of a
batch share from (seed, place of the batch), that of the model from (seed, iteration, process). So a resumed
training, another number of loader workers, or a validation in between draws the same numbers as a training
in one go, and no generator state is ever saved.
"""
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


class SeededIndex(int):
    """Index of a sample that carries the seed of its augmentations, through worker processes too.

    Attributes:
        index: Of the sample in its data set.
        seed: Of what is drawn for this sample alone.
        batch_seed: Of what all samples of a batch share, such as the size of their images; by default
            ``seed``.
    """
    seed: int
    batch_seed: int

    def __new__(cls, index: int, seed: int, batch_seed: int | None = None) -> 'SeededIndex':
        item = super().__new__(cls, index)
        item.seed = seed
        item.batch_seed = seed if batch_seed is None else batch_seed
        return item

    def __sub__(self, other: int) -> 'SeededIndex':
        """Keeps the seeds, as ``ConcatDataset`` subtracts where the sample's data set starts."""
        return self.at(int(self) - int(other))

    def __mod__(self, other: int) -> 'SeededIndex':
        """Keeps the seeds, as ``RepeatDataset`` takes the remainder by the length of its data set."""
        return self.at(int(self) % int(other))

    def at(self, index: int) -> 'SeededIndex':
        """Another sample with the same seeds."""
        return SeededIndex(index, self.seed, self.batch_seed)

    def __reduce__(self) -> tuple:
        return SeededIndex, (int(self), self.seed, self.batch_seed)


def mix_seeds(*numbers: int) -> int:
    """One seed of 32 bits from several numbers; neighbouring numbers give unrelated seeds."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def seed_everything(seed: int) -> None:
    """Seed Python's, NumPy's and PyTorch's global generators."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


@contextmanager
def sample_seed(index: int | SeededIndex) -> Iterator[None]:
    """Let the code inside draw from the seed of ``index``, and leave the generators as they were.

    A plain ``int`` changes nothing. For ``Dataset.__getitem__``::

        def __getitem__(self, idx):
            with sample_seed(idx):
                return super().__getitem__(idx)
    """
    if not isinstance(index, SeededIndex):
        yield
        return
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    random.seed(index.seed)
    np.random.seed(index.seed)
    torch.default_generator.manual_seed(index.seed)  # of the CPU alone; that of a GPU is not restored
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
