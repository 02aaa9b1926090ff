"""How much depth a frozen feature map holds: a linear probe from pixel features to log depth."""
import math

import torch
from mmdet3d.registry import METRICS
from mmengine.logging import MMLogger
from torch import Tensor

from ..errors import ConfigError
from .linear_probe import DepthErrors, LinearDepthProbe, RowMoments, depth_errors, probe_rows
from .streaming import StreamingMetric

NUM_PARTS = 4


@METRICS.register_module()
class DepthProbeMetric(StreamingMetric):
    """Error of a linear depth probe on the image features at the points of a validation set.

    Fits to every other frame of the data set, in four parts that take turns in choosing the penalty, and scores on
    the rest, whatever the number of processes. The truth is the LiDAR itself, so it needs no annotation.

    Of the frames it fits to only moments are kept, four matrices of (C + 1)^2 numbers for C features; rows
    to score must wait for the probe.

    Args:
        depth_range: Metres; points outside are left out.
        rows_per_frame: At most so many points of a frame, evenly spread over it, are used.
        max_scored_rows: So many rows to score are kept at most, in each process: where there are more,
            every other frame of them goes. The default keeps all of KITTI's validation frames, and takes
            0.5 GB for the 2048 features of a ResNet-50.

    Results: those of ``DepthErrors``; NaN, with a warning, where there is nothing to fit to or to score on, as in
    a validation set of one frame.
    """
    default_prefix = 'depth_probe'

    def __init__(self, depth_range: tuple[float, float] = (1.0, 60.0), rows_per_frame: int = 32,
                 max_scored_rows: int = 2**16, prefix: str | None = None) -> None:
        super().__init__(prefix=prefix)
        if not depth_range[0] < depth_range[1]:
            raise ConfigError(f'DepthProbeMetric: depth_range must rise, as (1.0, 60.0), got {depth_range}')
        if max_scored_rows < rows_per_frame:
            raise ConfigError(f'DepthProbeMetric: max_scored_rows={max_scored_rows} must hold the '
                              f'rows_per_frame={rows_per_frame} of a frame at least')
        self.depth_range = depth_range
        self.rows_per_frame = rows_per_frame
        self.max_scored_rows = max_scored_rows
        self._sums = _ProbeSums(max_scored_rows)

    def add(self, index: int, sample: dict) -> None:
        depth = sample['pixel_depth']
        rows = ((depth >= self.depth_range[0]) & (depth <= self.depth_range[1])).nonzero()[:, 0]
        rows = rows[::math.ceil(max(len(rows), 1) / self.rows_per_frame)]
        features, depth = sample['pixel_feature'][rows], depth[rows]
        number, is_scored = divmod(index, 2)
        if not len(rows):
            return
        if is_scored:
            self._sums.add_scored(number, features.cpu(), depth.cpu())
        else:
            self._sums.add_fitted(number % NUM_PARTS, RowMoments(probe_rows(features, depth)))

    def finish(self) -> '_ProbeSums':
        sums, self._sums = self._sums, _ProbeSums(self.max_scored_rows)
        return sums.cpu()

    def compute_metrics(self, results: list) -> dict[str, float]:
        sums = results[0]
        for other in results[1:]:
            sums.merge(other)
        if not sums.moments or not sums.scored:
            MMLogger.get_current_instance().warning(
                'DepthProbeMetric fits to every other frame and scores on the rest, so at least 2 frames need points '
                f'at {self.depth_range[0]:g} to {self.depth_range[1]:g} m; found {self.num_frames} frame(s), too few '
                'of them with such points. Its figures are NaN; keep more frames for validation, or check the '
                'calibration')
            return {name: float('nan') for name in DepthErrors._fields}
        probe = LinearDepthProbe().fit_moments([sums.moments[part] for part in sorted(sums.moments)])
        features, depth = (torch.cat(part) for part in zip(*sums.scored.values()))
        return depth_errors(probe.predict(features), depth.double())._asdict()


class _ProbeSums:
    """Moments of the rows to fit to, by part; and the rows to score, by frame."""

    def __init__(self, max_scored_rows: int) -> None:
        self.max_scored_rows = max_scored_rows
        self.moments: dict[int, RowMoments] = {}
        self.scored: dict[int, tuple[Tensor, Tensor]] = {}
        self.stride = 1  # the scored frames with these numbers are kept: 0, stride, 2 stride, ...

    def add_fitted(self, part: int, moments: RowMoments) -> None:
        if part in self.moments:
            self.moments[part].add(moments)
        else:
            self.moments[part] = moments

    def add_scored(self, number: int, features: Tensor, depth: Tensor) -> None:
        if number % self.stride:
            return
        self.scored[number] = features, depth
        while sum(len(depth) for _, depth in self.scored.values()) > self.max_scored_rows:
            self._thin(2 * self.stride)

    def merge(self, other: '_ProbeSums') -> None:
        for part, moments in other.moments.items():
            self.add_fitted(part, moments)
        self.scored.update(other.scored)
        self._thin(max(self.stride, other.stride))

    def cpu(self) -> '_ProbeSums':
        self.moments = {part: moments.cpu() for part, moments in self.moments.items()}
        return self

    def _thin(self, stride: int) -> None:
        self.stride = stride
        self.scored = {number: rows for number, rows in self.scored.items() if number % stride == 0}
