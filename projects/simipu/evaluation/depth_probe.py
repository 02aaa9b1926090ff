"""How much depth a frozen feature map holds: a linear probe from pixel features to log depth."""
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from mmdet3d.registry import METRICS
from mmengine.evaluator import BaseMetric
from torch import Tensor

from ..errors import ConfigError


class DepthErrors(NamedTuple):
    """Errors of predicted depth (Eigen et al., NeurIPS 2014).

    ``abs_rel``: mean |d - d*| / d*; ``rmse`` in metres; ``rmse_log``: that of log d; ``delta1``: share
    of predictions within a factor of 1.25 of the truth.
    """
    abs_rel: float
    rmse: float
    rmse_log: float
    delta1: float


def depth_errors(predicted: Tensor, target: Tensor) -> DepthErrors:
    """Errors of (K,) predicted against (K,) measured depths, in metres."""
    ratio = torch.maximum(predicted / target, target / predicted)
    return DepthErrors(
        abs_rel=((predicted - target).abs() / target).mean().item(),
        rmse=(predicted - target).square().mean().sqrt().item(),
        rmse_log=(predicted.log() - target.log()).square().mean().sqrt().item(),
        delta1=(ratio < 1.25).double().mean().item())


class LinearDepthProbe:
    """Ridge regression from features to log depth, in closed form and double precision.

    Features are standardised first, so that the penalty means the same for every backbone. The
    penalty is chosen among ``penalties`` by the error on the last quarter of the fitted rows, then
    the probe is fitted to all of them.

    Args:
        penalties: Candidate penalties, as multiples of the number of rows.
    """

    def __init__(self, penalties: Sequence[float] = (1e-4, 1e-3, 1e-2, 1e-1)) -> None:
        self.penalties = penalties

    def fit(self, features: Tensor, depth: Tensor) -> 'LinearDepthProbe':
        """Fit to (K, C) features and (K,) depths in metres; rows in the order of their frames."""
        features, target = features.double(), depth.double().log()
        self.mean = features.mean(0)
        self.std = features.std(0).clamp(min=1e-8)
        held_out = len(features) * 3 // 4
        inputs = self._inputs(features)

        def error(penalty: float) -> float:
            weights = _ridge(inputs[:held_out], target[:held_out], penalty)
            return (inputs[held_out:] @ weights - target[held_out:]).square().mean().item()

        self.penalty = min(self.penalties, key=error)
        self.weights = _ridge(inputs, target, self.penalty)
        self.log_range = target.min(), target.max()
        return self

    def predict(self, features: Tensor) -> Tensor:
        """(K, C) features -> (K,) depths in metres, within the range of those fitted."""
        log_depth = self._inputs(features.double()) @ self.weights
        return log_depth.clamp(*self.log_range).exp()

    def _inputs(self, features: Tensor) -> Tensor:
        standardised = (features - self.mean) / self.std
        return torch.cat([standardised, standardised.new_ones(len(features), 1)], dim=1)


def _ridge(inputs: Tensor, target: Tensor, penalty: float) -> Tensor:
    """Weights of least |inputs w - target|^2 + penalty K |w|^2; the last, constant input is free."""
    regulariser = inputs.new_full((inputs.shape[1],), penalty * len(inputs))
    regulariser[-1] = 0
    return torch.linalg.solve(inputs.T @ inputs + regulariser.diag(), inputs.T @ target)


@METRICS.register_module()
class DepthProbeMetric(BaseMetric):
    """Error of a linear depth probe on the image features at the points of a validation set.

    Fits to every other frame and scores on the rest; the truth is the LiDAR itself, so it needs no
    annotation.

    Args:
        depth_range: Metres; points outside are left out.
        rows_per_frame: At most so many points of a frame, evenly spread over it, are kept: features
            are wide, and a validation set may have thousands of frames.

    Results: those of :class:`DepthErrors`.
    """
    default_prefix = 'depth_probe'

    def __init__(self, depth_range: tuple[float, float] = (1.0, 60.0), rows_per_frame: int = 32,
                 collect_device: str = 'cpu', prefix: str | None = None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.depth_range = depth_range
        self.rows_per_frame = rows_per_frame

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        for sample in data_samples:
            depth = sample['pixel_depth']
            rows = ((depth >= self.depth_range[0]) & (depth <= self.depth_range[1])).nonzero()[:, 0]
            rows = rows[::math.ceil(max(len(rows), 1) / self.rows_per_frame)]
            self.results.append((sample['pixel_feature'][rows].cpu(), depth[rows].cpu()))

    def compute_metrics(self, results: list) -> dict[str, float]:
        if len(results) < 2:
            raise ConfigError('DepthProbeMetric fits to every other frame and scores on the rest, so '
                             f'the validation set needs at least 2 frames; it has {len(results)}')
        fitted, scored = ([torch.cat(part) for part in zip(*results[start::2])] for start in (0, 1))
        if len(fitted[0]) < 4 or not len(scored[0]):  # the probe holds out a quarter
            return {name: float('nan') for name in DepthErrors._fields}
        probe = LinearDepthProbe().fit(*fitted)
        return depth_errors(probe.predict(scored[0]), scored[1].double())._asdict()
