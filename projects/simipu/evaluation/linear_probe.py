"""Linear regression from features to depth or anything else, and the errors of depth."""
import copy
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


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


class RowMoments:
    """What a linear regression needs of rows of D numbers, without the rows; in double precision.

    Args:
        rows: (K, D), K of at least 1.

    Attributes:
        count: K.
        mean, smallest, largest: (D,) of each column.
        scatter: (D, D), the sum of the outer products of the centred rows.
    """

    def __init__(self, rows: Tensor) -> None:
        rows = rows.double()
        self.count = len(rows)
        self.mean, self.smallest, self.largest = rows.mean(0), rows.amin(0), rows.amax(0)
        self.scatter = (rows - self.mean).T @ (rows - self.mean)

    def add(self, other: 'RowMoments') -> 'RowMoments':
        """Take in the rows of ``other``, by the update of Chan et al. (1979), which cancels no digits."""
        total, shift = self.count + other.count, other.mean - self.mean
        self.scatter += other.scatter
        self.scatter.addr_(shift, shift, alpha=self.count * other.count / total)
        self.mean = self.mean + shift * (other.count / total)
        self.smallest = torch.minimum(self.smallest, other.smallest)
        self.largest = torch.maximum(self.largest, other.largest)
        self.count = total
        return self

    def cpu(self) -> 'RowMoments':
        """The same on the CPU."""
        moved = copy.copy(self)
        for name in ('mean', 'smallest', 'largest', 'scatter'):
            setattr(moved, name, getattr(self, name).cpu())
        return moved


def probe_rows(features: Tensor, depth: Tensor) -> Tensor:
    """(K, C) features and (K,) depths in metres -> (K, C + 1), the log depth in the last column."""
    return torch.cat([features.double(), depth.double().log()[:, None]], dim=1)


PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1., 10.)
NUM_PARTS = 5  # for cross-validation


class LinearProbe:
    """Ridge regression from features to one or several numbers, in closed form and double precision.

    Features are standardised first, so that the penalty means the same for every backbone. The penalty is the
    one of ``penalties`` with the least error in cross-validation, then the probe is fitted to all rows. Rows of one
    frame resemble each other. With few frames a probe therefore overfits more than the number of rows suggests, and
    needs large penalties: with 10 labelled frames of KITTI, 1 is chosen most often.

    Args:
        penalties: Candidate penalties, as multiples of the number of rows, in ascending order.
    """

    def __init__(self, penalties: Sequence[float] = PENALTIES) -> None:
        self.penalties = penalties

    def fit(self, features: Tensor, targets: Tensor) -> 'LinearProbe':
        """Fit to (K, C) features and (K, T) targets, the rows of a frame beside each other.

        For cross-validation they are cut into consecutive parts, so that hardly any frame is in two.
        """
        rows = torch.cat([features.double(), targets.double()], dim=1)
        parts = [RowMoments(part) for part in rows.tensor_split(NUM_PARTS) if len(part)]
        return self.fit_moments(parts, targets.shape[1])

    def fit_moments(self, parts: Sequence[RowMoments], num_targets: int = 1) -> 'LinearProbe':
        """Fit to the moments of rows whose last ``num_targets`` columns are the targets.

        Args:
            parts: Each is held out once to choose the penalty; a single one gets the penalty at half the
                length of ``penalties``, 0.1 by default.
            num_targets: T.
        """
        all_rows = _joined(parts)
        self.mean = all_rows.mean
        self.std = (all_rows.scatter.diagonal()[:-num_targets] / (all_rows.count - 1)).sqrt().clamp(min=1e-8)
        self.target_range = all_rows.smallest[-num_targets:], all_rows.largest[-num_targets:]
        self.penalty = self.penalties[len(self.penalties) // 2] if len(parts) == 1 else self._best_penalty(parts)
        self.weights = self._ridge(all_rows, self.penalty)
        return self

    def _best_penalty(self, parts: Sequence[RowMoments]) -> float:
        errors = dict.fromkeys(self.penalties, 0.)
        for number, held_out in enumerate(parts):
            fitted = _joined([*parts[:number], *parts[number + 1:]])
            for penalty in self.penalties:
                errors[penalty] += self._squared_error(fitted, held_out, penalty)
        return min(errors, key=errors.get)

    def _squared_error(self, fitted: RowMoments, held_out: RowMoments, penalty: float) -> float:
        """Sum over the rows and targets of ``held_out``; a residual is linear in its row, so moments are enough."""
        weights = self._ridge(fitted, penalty)
        directions = torch.cat([-weights / self.std[:, None], torch.eye(weights.shape[1]).to(weights)])
        mean_residual = (held_out.mean - fitted.mean) @ directions
        scatter = (directions * (held_out.scatter @ directions)).sum()
        return (scatter + held_out.count * mean_residual.square().sum()).item()

    def predict(self, features: Tensor) -> Tensor:
        """(K, C) features -> (K, T) targets."""
        num_features = len(self.std)
        standardised = (features.double() - self.mean[:num_features]) / self.std
        return standardised @ self.weights + self.mean[num_features:]

    def _ridge(self, rows: RowMoments, penalty: float) -> Tensor:
        """(C, T) weights w of least |x w - y|^2 + penalty K |w|^2, of standardised x and centred y."""
        num_features = len(self.std)
        gram = rows.scatter[:num_features, :num_features] / self.std / self.std[:, None]
        gram.diagonal().add_(penalty * rows.count)
        return torch.linalg.solve(gram, rows.scatter[:num_features, num_features:] / self.std[:, None])


def _joined(parts: Sequence[RowMoments]) -> RowMoments:
    joined = copy.copy(parts[0])
    joined.scatter = joined.scatter.clone()
    for part in parts[1:]:
        joined.add(part)
    return joined


class LinearDepthProbe(LinearProbe):
    """A linear probe of log depth."""

    def fit(self, features: Tensor, depth: Tensor) -> 'LinearDepthProbe':
        """Fit to (K, C) features and (K,) depths in metres, the rows of a frame beside each other."""
        return super().fit(features, depth.double().log()[:, None])

    def predict(self, features: Tensor) -> Tensor:
        """(K, C) features -> (K,) depths in metres, within the range of those fitted."""
        return super().predict(features).clamp(*self.target_range).exp()[:, 0]
