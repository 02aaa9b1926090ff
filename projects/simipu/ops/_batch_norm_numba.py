"""The passes over the rows in weighted batch normalisation, each one fused loop on CPU.

Functions and symbols are those of ``_batch_norm_torch``.
"""

import numpy as np
import torch
from numba import prange
from torch import Tensor

from ..jit import njit
from .backend import to_numpy, use_torch_threads

TAKES_HALF_PRECISION = False
# Rows that one numba task adds up in the rows' own precision.
ROWS_PER_TASK = 256


def weighted_sum(rows: Tensor, weights: Tensor) -> Tensor:
    """(C,) sum of w x."""
    return _column_sums(_weighted_sum, rows, weights)


def weighted_square_sum(rows: Tensor, weights: Tensor, mean: Tensor) -> Tensor:
    """(C,) sum of w (x - mean)^2."""
    return _column_sums(_weighted_square_sum, rows, weights, mean)


def normalize_relu(rows: Tensor, mean: Tensor, inverse: Tensor, scale: Tensor,
                   shift: Tensor) -> Tensor:
    """(R, C) relu(scale x^ + shift)."""
    return _map_rows(_normalize_relu, rows, mean, inverse, scale, shift)


def gradient_sums(rows: Tensor, grad: Tensor, mean: Tensor, inverse: Tensor, scale: Tensor,
                  shift: Tensor) -> tuple[Tensor, Tensor]:
    """(C,) sums of g and of g x^: the gradients of shift and scale; g is ``grad`` past the ReLU."""
    sums = _column_sums(_gradient_sums, rows, grad, mean, inverse, scale, shift)
    return sums[:rows.shape[1]], sums[rows.shape[1]:]


def gradient(rows: Tensor, grad: Tensor, weights: Tensor, mean: Tensor, inverse: Tensor,
             scale: Tensor, shift: Tensor, mean_grad: Tensor, mean_grad_standard: Tensor) -> Tensor:
    """(R, C) gradient of x: scale inverse (g - w (mean g + x^ mean(g x^)))."""
    # Joined factors: with more arrays than these the compiler does not vectorise the loop.
    slope = inverse * scale
    return _map_rows(_gradient, rows, grad, weights, mean, slope, shift, slope * mean_grad,
                     slope * inverse * mean_grad_standard)


def _column_sums(kernel, rows: Tensor, *others: Tensor) -> Tensor:
    use_torch_threads()
    partial = kernel(to_numpy(rows), *(to_numpy(other.to(rows.dtype)) for other in others))
    return torch.from_numpy(partial.sum(0, dtype=np.float64)).to(rows.dtype)


def _map_rows(kernel, rows: Tensor, *others: Tensor) -> Tensor:
    use_torch_threads()
    result = torch.empty(rows.shape, dtype=rows.dtype)
    kernel(to_numpy(rows), *(to_numpy(other.to(rows.dtype)) for other in others), result.numpy())
    return result


# The loops over channels run on one-dimensional views: that is what the compiler vectorises.


@njit
def _num_tasks(rows):
    return (len(rows) + ROWS_PER_TASK - 1) // ROWS_PER_TASK


@njit
def _rows_of(task, rows):
    return range(task * ROWS_PER_TASK, min((task + 1) * ROWS_PER_TASK, len(rows)))


@njit(parallel=True)
def _weighted_sum(rows, weights):
    sums = np.zeros((_num_tasks(rows), rows.shape[1]), rows.dtype)
    for task in prange(len(sums)):
        total = sums[task]
        for r in _rows_of(task, rows):
            row, weight = rows[r], weights[r]
            for c in range(len(row)):
                total[c] += weight * row[c]
    return sums


@njit(parallel=True)
def _weighted_square_sum(rows, weights, mean):
    sums = np.zeros((_num_tasks(rows), rows.shape[1]), rows.dtype)
    for task in prange(len(sums)):
        total = sums[task]
        for r in _rows_of(task, rows):
            row, weight = rows[r], weights[r]
            for c in range(len(row)):
                centred = row[c] - mean[c]
                total[c] += weight * centred * centred
    return sums


@njit(parallel=True)
def _normalize_relu(rows, mean, inverse, scale, shift, result):
    for task in prange(_num_tasks(rows)):
        for r in _rows_of(task, rows):
            row, out = rows[r], result[r]
            for c in range(len(row)):
                value = (row[c] - mean[c]) * inverse[c] * scale[c] + shift[c]
                out[c] = max(value, 0)


@njit(parallel=True)
def _gradient_sums(rows, grad, mean, inverse, scale, shift):
    channels = rows.shape[1]
    sums = np.zeros((_num_tasks(rows), 2 * channels), rows.dtype)
    for task in prange(len(sums)):
        grad_shift, grad_scale = sums[task, :channels], sums[task, channels:]
        for r in _rows_of(task, rows):
            row, grad_row = rows[r], grad[r]
            for c in range(channels):
                standard = (row[c] - mean[c]) * inverse[c]
                passed = grad_row[c] if standard * scale[c] + shift[c] > 0 else row.dtype.type(0)
                grad_shift[c] += passed
                grad_scale[c] += passed * standard
    return sums


@njit(parallel=True)
def _gradient(rows, grad, weights, mean, slope, shift, constant, linear, result):
    for task in prange(_num_tasks(rows)):
        for r in _rows_of(task, rows):
            row, grad_row, weight, out = rows[r], grad[r], weights[r], result[r]
            for c in range(len(row)):
                centred = row[c] - mean[c]
                passed = grad_row[c] if centred * slope[c] + shift[c] > 0 else row.dtype.type(0)
                out[c] = passed * slope[c] - weight * (constant[c] + linear[c] * centred)
