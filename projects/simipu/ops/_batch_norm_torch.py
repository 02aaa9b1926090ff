"""The passes over the rows in weighted batch normalisation, in plain torch.

Rows x (R, C), weights w (R,) and statistics (C,); x^ is the standardised row (x - mean) * inverse.
``_batch_norm_numba`` holds the same functions for CPU.
"""

from torch import Tensor

TAKES_HALF_PRECISION = False


def weighted_sum(rows: Tensor, weights: Tensor) -> Tensor:
    """(C,) sum of w x."""
    return weights @ rows


def weighted_square_sum(rows: Tensor, weights: Tensor, mean: Tensor) -> Tensor:
    """(C,) sum of w (x - mean)^2."""
    return weights @ (rows - mean).square_()


def normalize_relu(rows: Tensor, mean: Tensor, inverse: Tensor, scale: Tensor,
                   shift: Tensor) -> Tensor:
    """(R, C) relu(scale x^ + shift)."""
    return (rows - mean).mul_(inverse).mul_(scale).add_(shift).relu_()


def gradient_sums(rows: Tensor, grad: Tensor, mean: Tensor, inverse: Tensor, scale: Tensor,
                  shift: Tensor) -> tuple[Tensor, Tensor]:
    """(C,) sums of g and of g x^: the gradients of shift and scale; g is ``grad`` past the ReLU."""
    standard = (rows - mean).mul_(inverse)
    grad = grad * (standard * scale + shift > 0)
    return grad.sum(0), standard.mul_(grad).sum(0)


def gradient(rows: Tensor, grad: Tensor, weights: Tensor, mean: Tensor, inverse: Tensor,
             scale: Tensor, shift: Tensor, mean_grad: Tensor, mean_grad_standard: Tensor) -> Tensor:
    """(R, C) gradient of x: scale inverse (g - w (mean g + x^ mean(g x^))).

    The statistics depend on a row in proportion to its weight, hence w.
    """
    standard = (rows - mean).mul_(inverse)
    grad = grad * (standard * scale + shift > 0)
    grad -= weights[:, None] * standard.mul_(mean_grad_standard).add_(mean_grad)
    return grad.mul_(inverse * scale)
