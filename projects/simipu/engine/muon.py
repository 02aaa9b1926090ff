"""Muon: momentum updates made orthogonal, for the convolutions of an image backbone."""
import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from mmengine.registry import OPTIMIZERS
from torch import Tensor

from ..errors import ConfigError

# Jordan et al., 2024 (kellerjordan.github.io/posts/muon): five steps bring singular values near 1.
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_STEPS = 5


@OPTIMIZERS.register_module()
class ConvMuon(torch.optim.Optimizer):
    """Muon for convolutions and linear layers, AdamW for the vectors (norms, biases) beside them.

    A kernel (out, in, h, w) is taken as a matrix (out, in * h * w). Its momentum is replaced by the
    nearest orthogonal matrix, so that rare directions of the gradient count as much as common ones.
    ``torch.optim.Muon`` is the same for matrices, but takes neither kernels nor vectors. Steps of a
    matrix are scaled to the root mean square of AdamW's (Liu et al., 2025, arXiv 2502.16982).

    Args:
        params: Parameters or groups.
        lr: Learning rate of both.
        weight_decay: Decoupled, of matrices only.
        momentum: Of matrices, with Nesterov's look-ahead.
        betas: Of vectors.
        eps: Of vectors.
    """

    def __init__(self, params: Iterable, lr: float = 3e-3, weight_decay: float = 0.01,
                 momentum: float = 0.95, betas: tuple[float, float] = (0.9, 0.999),
                 eps: float = 1e-8) -> None:
        if lr < 0 or weight_decay < 0 or not 0 <= momentum < 1:
            raise ConfigError('ConvMuon expects lr >= 0, weight_decay >= 0 and 0 <= momentum < 1, got '
                              f'{lr}, {weight_decay} and {momentum}')
        super().__init__(params, dict(lr=lr, weight_decay=weight_decay, momentum=momentum,
                                      betas=betas, eps=eps))

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient; ``closure`` recomputes the loss first."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group['params']:
                if parameter.grad is not None:
                    update = self._step_vector if parameter.ndim < 2 else self._step_matrix
                    update(parameter, self.state[parameter], group)
        return loss

    def _step_matrix(self, parameter: Tensor, state: dict, group: dict) -> None:
        if not state:
            state['momentum_buffer'] = torch.zeros_like(parameter)
        momentum, grad = state['momentum_buffer'], parameter.grad
        momentum.lerp_(grad, 1 - group['momentum'])
        update = orthogonalize(grad.lerp(momentum, group['momentum']).flatten(1))
        parameter.mul_(1 - group['lr'] * group['weight_decay'])
        parameter.add_(update.view_as(parameter),
                       alpha=-group['lr'] * 0.2 * math.sqrt(max(update.shape)))

    def _step_vector(self, parameter: Tensor, state: dict, group: dict) -> None:
        if not state:
            state.update(step=0, exp_avg=torch.zeros_like(parameter),
                         exp_avg_sq=torch.zeros_like(parameter))
        state['step'] += 1
        for name, value, beta in zip(('exp_avg', 'exp_avg_sq'),
                                     (parameter.grad, parameter.grad.square()), group['betas']):
            state[name].lerp_(value, 1 - beta)
        mean, square = (state[name] / (1 - beta**state['step'])
                        for name, beta in zip(('exp_avg', 'exp_avg_sq'), group['betas']))
        parameter.addcdiv_(mean, square.sqrt().add_(group['eps']), value=-group['lr'])


def orthogonalize(matrix: Tensor) -> Tensor:
    """(M, N) -> about U V' of its singular value decomposition U S V', by Newton-Schulz iteration.

    Singular values end between about 0.7 and 1.2, which serves an optimizer as well as exact ones. In
    bfloat16 for the products, as in the original.
    """
    a, b, c = _COEFFICIENTS
    tall = matrix.shape[0] > matrix.shape[1]
    result = (matrix.T if tall else matrix).bfloat16()
    result = result / result.norm().clamp(min=1e-7)
    for _ in range(_STEPS):
        gram = result @ result.T
        result = a * result + (b * gram + c * gram @ gram) @ result
    return (result.T if tall else result).to(matrix.dtype)
