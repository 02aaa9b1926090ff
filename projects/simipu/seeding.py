"""Random numbers that depend on what is computed, not on what was computed before.

The randomness of a training sample follows from (seed, epoch, place in the epoch), that of the model
from (seed, iteration, process). So a resumed training, another number of loader workers, or a validation
in between gives the same losses as a training in one go, and no generator state is ever saved.
"""
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


class SeededIndex(int):
    """Index of a sample that carries the seed of its augmentations, through worker processes too."""
    seed: int

    def __new__(cls, index: int, seed: int) -> 'SeededIndex':
        item = super().__new__(cls, index)
        item.seed = seed
        return item

    def __sub__(self, other: int) -> 'SeededIndex':
        """Keeps the seed, as ``ConcatDataset`` subtracts where the sample's data set starts."""
        return SeededIndex(int(self) - int(other), self.seed)

    def __reduce__(self) -> tuple:
        return SeededIndex, (int(self), self.seed)


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
