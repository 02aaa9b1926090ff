"""The passes over the rows in weighted batch normalisation, each one Triton kernel on CUDA.

Functions and symbols are those of ``_batch_norm_torch``. Rows and gradients may be of half precision, which the result
then has, too; in between all is float32, or float64 for rows of that type.
"""
import torch
import triton
import triton.language as tl
from torch import Tensor

TAKES_HALF_PRECISION = True
# Values that a program holds at a time, and programs that add up rows.
BLOCK_VALUES, MAX_BLOCK_CHANNELS, NUM_WARPS = 4096, 128, 8
MAX_PARTS = 528  # four for each multiprocessor of an H100


def weighted_sum(rows: Tensor, weights: Tensor) -> Tensor:
    """(C,) sum of w x."""
    return _column_sums(_weighted_sums_kernel, rows, rows, weights, weights, CENTRED=False)[0]


def weighted_square_sum(rows: Tensor, weights: Tensor, mean: Tensor) -> Tensor:
    """(C,) sum of w (x - mean)^2."""
    return _column_sums(_weighted_sums_kernel, rows, rows, weights, mean, CENTRED=True)[0]


def normalize_relu(rows: Tensor, mean: Tensor, inverse: Tensor, scale: Tensor,
                   shift: Tensor) -> Tensor:
    """(R, C) relu(scale x^ + shift)."""
    return _map_rows(_normalize_relu_kernel, rows, rows, mean, inverse, scale, shift)


def gradient_sums(rows: Tensor, grad: Tensor, mean: Tensor, inverse: Tensor, scale: Tensor,
                  shift: Tensor) -> tuple[Tensor, Tensor]:
    """(C,) sums of g and of g x^: the gradients of shift and scale; g is ``grad`` past the ReLU."""
    return _column_sums(_gradient_sums_kernel, rows, rows, grad, mean, inverse, scale, shift).unbind()


def gradient(rows: Tensor, grad: Tensor, weights: Tensor, mean: Tensor, inverse: Tensor,
             scale: Tensor, shift: Tensor, mean_grad: Tensor, mean_grad_standard: Tensor) -> Tensor:
    """(R, C) gradient of x: scale inverse (g - w (mean g + x^ mean(g x^)))."""
    return _map_rows(_gradient_kernel, rows, rows, grad, weights, mean, inverse, scale, shift, mean_grad,
                     mean_grad_standard)


def _column_sums(kernel, rows: Tensor, *operands: Tensor, **constants) -> Tensor:
    """(2, C) sums, each over parts of the rows and then over the parts, in the same order each time."""
    block = _block(rows)
    num_parts = min(MAX_PARTS, triton.cdiv(len(rows), block['ROWS']))
    rows_per_part = triton.cdiv(triton.cdiv(len(rows), num_parts), block['ROWS']) * block['ROWS']
    num_parts = triton.cdiv(len(rows), rows_per_part)
    partial = torch.zeros(num_parts, 2, rows.shape[1], device=rows.device,
                          dtype=torch.promote_types(rows.dtype, torch.float32))
    _launch(kernel, num_parts, operands, (partial, *rows.shape, rows_per_part), block, **constants)
    return partial.sum(0)


def _map_rows(kernel, rows: Tensor, *operands: Tensor) -> Tensor:
    block, result = _block(rows), torch.empty(rows.shape, dtype=rows.dtype, device=rows.device)
    _launch(kernel, triton.cdiv(len(rows), block['ROWS']), operands, (result, *rows.shape), block)
    return result


def _block(rows: Tensor) -> dict:
    """Rows and channels of a program, and its precision."""
    channels = min(MAX_BLOCK_CHANNELS, triton.next_power_of_2(rows.shape[1]))
    precision = tl.float64 if rows.dtype == torch.float64 else tl.float32
    return dict(ROWS=BLOCK_VALUES // channels, CHANNELS=channels, PRECISION=precision)


def _launch(kernel, num_programs: int, operands: tuple, arguments: tuple, block: dict, **constants) -> None:
    num_channels = operands[0].shape[1]
    # Sums are not fused with products, so that the ReLU lets the same elements pass in all kernels.
    with torch.cuda.device_of(operands[0]):
        kernel[(num_programs, triton.cdiv(num_channels, block['CHANNELS']))](
            *(operand.contiguous() for operand in operands), *arguments, **constants, **block, num_warps=NUM_WARPS,
            enable_fp_fusion=False)


@triton.jit
def _weighted_sums_kernel(rows, weights, mean, partial, num_rows, num_channels, rows_per_part, CENTRED: tl.constexpr,
                          ROWS: tl.constexpr, CHANNELS: tl.constexpr, PRECISION: tl.constexpr):
    """Of w x, or of w (x - mean)^2 where ``CENTRED``, over one part of the rows."""
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    total = tl.zeros((ROWS, CHANNELS), PRECISION)
    for start in range(0, rows_per_part, ROWS):
        row = tl.program_id(0).to(tl.int64) * rows_per_part + start + tl.arange(0, ROWS)
        value = _load(rows, row, channel, num_rows, num_channels, PRECISION)
        if CENTRED:
            value -= _load_channels(mean, channel, num_channels, PRECISION)
            value *= value
        total += _load_weights(weights, row, num_rows, PRECISION) * value
    _store_sums(partial, 0, total, channel, num_channels)


@triton.jit
def _normalize_relu_kernel(rows, mean, inverse, scale, shift, result, num_rows, num_channels, ROWS: tl.constexpr,
                           CHANNELS: tl.constexpr, PRECISION: tl.constexpr):
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    standard = _standard(rows, mean, inverse, row, channel, num_rows, num_channels, PRECISION)
    normed = _before_relu(standard, scale, shift, channel, num_channels, PRECISION)
    _store(result, row, channel, num_rows, num_channels, tl.where(normed <= 0, 0.0, normed))  # NaN stays


@triton.jit
def _gradient_sums_kernel(rows, grad, mean, inverse, scale, shift, partial, num_rows, num_channels, rows_per_part,
                          ROWS: tl.constexpr, CHANNELS: tl.constexpr, PRECISION: tl.constexpr):
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    total = tl.zeros((ROWS, CHANNELS), PRECISION)
    total_standard = tl.zeros((ROWS, CHANNELS), PRECISION)
    for start in range(0, rows_per_part, ROWS):
        row = tl.program_id(0).to(tl.int64) * rows_per_part + start + tl.arange(0, ROWS)
        standard = _standard(rows, mean, inverse, row, channel, num_rows, num_channels, PRECISION)
        past_relu = _load(grad, row, channel, num_rows, num_channels, PRECISION)
        past_relu = tl.where(_before_relu(standard, scale, shift, channel, num_channels, PRECISION) > 0, past_relu, 0.0)
        total += past_relu
        total_standard += past_relu * standard
    _store_sums(partial, 0, total, channel, num_channels)
    _store_sums(partial, 1, total_standard, channel, num_channels)


@triton.jit
def _gradient_kernel(rows, grad, weights, mean, inverse, scale, shift, mean_grad, mean_grad_standard, result, num_rows,
                     num_channels, ROWS: tl.constexpr, CHANNELS: tl.constexpr, PRECISION: tl.constexpr):
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    standard = _standard(rows, mean, inverse, row, channel, num_rows, num_channels, PRECISION)
    past_relu = _load(grad, row, channel, num_rows, num_channels, PRECISION)
    past_relu = tl.where(_before_relu(standard, scale, shift, channel, num_channels, PRECISION) > 0, past_relu, 0.0)
    of_statistics = _load_channels(mean_grad, channel, num_channels, PRECISION)
    of_statistics += standard * _load_channels(mean_grad_standard, channel, num_channels, PRECISION)
    change = past_relu - _load_weights(weights, row, num_rows, PRECISION) * of_statistics
    change *= _load_channels(inverse, channel, num_channels, PRECISION)
    change *= _load_channels(scale, channel, num_channels, PRECISION)
    _store(result, row, channel, num_rows, num_channels, change)


@triton.jit
def _standard(rows, mean, inverse, row, channel, num_rows, num_channels, PRECISION: tl.constexpr):
    """x^ of some rows and channels."""
    value = _load(rows, row, channel, num_rows, num_channels, PRECISION)
    value -= _load_channels(mean, channel, num_channels, PRECISION)
    return value * _load_channels(inverse, channel, num_channels, PRECISION)


@triton.jit
def _before_relu(standard, scale, shift, channel, num_channels, PRECISION: tl.constexpr):
    scaled = standard * _load_channels(scale, channel, num_channels, PRECISION)
    return scaled + _load_channels(shift, channel, num_channels, PRECISION)


@triton.jit
def _load(values, row, channel, num_rows, num_channels, PRECISION: tl.constexpr):
    inside = (row < num_rows)[:, None] & (channel < num_channels)[None]
    return tl.load(values + row[:, None] * num_channels + channel[None], mask=inside, other=0).to(PRECISION)


@triton.jit
def _load_channels(values, channel, num_channels, PRECISION: tl.constexpr):
    return tl.load(values + channel, mask=channel < num_channels, other=0).to(PRECISION)[None]


@triton.jit
def _load_weights(weights, row, num_rows, PRECISION: tl.constexpr):
    return tl.load(weights + row, mask=row < num_rows, other=0).to(PRECISION)[:, None]


@triton.jit
def _store(result, row, channel, num_rows, num_channels, values):
    inside = (row < num_rows)[:, None] & (channel < num_channels)[None]
    tl.store(result + row[:, None] * num_channels + channel[None], values, mask=inside)


@triton.jit
def _store_sums(partial, which, total, channel, num_channels):
    """Into ``partial`` (P, 2, C)."""
    own = partial + (tl.program_id(0) * 2 + which) * num_channels
    tl.store(own + channel, tl.sum(total, 0), mask=channel < num_channels)
