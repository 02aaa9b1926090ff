"""No optimizer step for modules that get only zero gradients, as from a batch without pairs."""
import math
from collections.abc import Sequence

import torch
from mmdet3d.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.optim import Optimizer

from .step_hook import StepHook


@HOOKS.register_module()
class SkipEmptyBatchHook(StepHook):
    """Leaves the modules alone whose gradients are all zero, as where a batch has no visible point.

    Where no point is visible in any image, in any process, ``loss_inter`` has no pair: the image backbone
    and the inter-modal head get gradients of zero, yet momentum and weight decay would still move their
    weights. With this hook their parameters and optimizer state stay as they are, while the point encoder and
    the intra-modal head still learn from their own loss. Batch-norm statistics do follow the images, since
    the forward pass updates them.

    A module here is a child of the model, such as ``img_backbone``. It is left out where all its gradients
    are exactly zero; with gradient accumulation, where those of all batches of the step were. Such steps
    are counted over the whole training (resumed ones too), and logged: a warning each time, and from the
    first on ``train/skipped_steps`` among the scalars.
    """

    counter = 'skipped_steps'

    def __init__(self) -> None:
        self._left_out: list[str] = []

    def after_train_iter(self, runner: Runner, batch_idx: int,
                         data_batch: Sequence[dict] | None = None,
                         outputs: dict | None = None) -> None:
        """Log what this iteration's step left out."""
        if self._left_out:
            self.num_skipped += 1
            runner.logger.warning(
                f'iteration {runner.iter + 1}: all gradients of {", ".join(self._left_out)} are zero, as where '
                'no point is visible in any image; their weights are left as they were '
                f'({self.num_skipped} such steps so far). If this happens often, check the calibration, the '
                'range filter and the image crop')
            self._left_out = []
        self._update_scalar(runner)

    def _before_step(self, optimizer: Optimizer, args: tuple, kwargs: dict) -> None:
        """Drop the gradients of modules where all are zero."""
        largest = {name: _largest_gradient(child) for name, child in self._model.named_children()
                   if any(weight.grad is not None for weight in child.parameters())}
        # One synchronisation for all of them.
        values = torch.stack(list(largest.values())).tolist() if largest else []
        self._left_out = [name for name, value in zip(largest, values) if value == 0]
        for name in self._left_out:
            getattr(self._model, name).zero_grad(set_to_none=True)


def _largest_gradient(module: nn.Module) -> Tensor:
    """Largest absolute value, on the device."""
    norms = torch._foreach_norm([weight.grad for weight in module.parameters() if weight.grad is not None], math.inf)
    return torch.stack([norm.float() for norm in norms]).amax()
