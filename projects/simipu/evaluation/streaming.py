"""Metrics that keep sums, not frames."""
from collections.abc import Sequence
from typing import Any

from mmengine.dist import get_dist_info
from mmengine.evaluator import BaseMetric


class StreamingMetric(BaseMetric):
    """A metric whose memory does not grow with the validation set.

    Subclasses add each frame to their sums in ``add`` and return the sums in ``finish``;
    ``compute_metrics`` gets those of every process, and finds how many frames they are of in
    ``num_frames``.

    Of several processes the r-th of W has frames r, r + W, r + 2W ... of the data set, as the samplers of
    MMEngine and this project distribute them. They fill up the last round with frames that were there
    already, which must not count; so the newest frame waits until the next comes, or is left out.
    """
    takes_part_of_a_set = True  # for DryRunHook

    def __init__(self, prefix: str | None = None) -> None:
        super().__init__(collect_device='cpu', prefix=prefix)
        self._waiting: dict | None = None
        self._num_added = 0

    def add(self, index: int, sample: dict) -> None:
        """Add the frame of number ``index`` in the data set."""
        raise NotImplementedError

    def finish(self) -> Any:
        """What was added up in this process; the next frame starts anew."""
        raise NotImplementedError

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        for sample in data_samples:
            self._add_waiting()
            self._waiting = sample

    def evaluate(self, size: int) -> dict:
        rank, world_size = get_dist_info()
        if self._num_added < len(range(rank, size, world_size)):
            self._add_waiting()
        self._waiting, self._num_added, self.num_frames = None, 0, size
        self.results = [self.finish()]
        return super().evaluate(size)

    def _add_waiting(self) -> None:
        if self._waiting is not None:
            rank, world_size = get_dist_info()
            self.add(rank + self._num_added * world_size, self._waiting)
            self._num_added += 1
