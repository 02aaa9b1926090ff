"""No optimizer step where no pixel-point pair was seen."""
from collections.abc import Sequence

from mmdet3d.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn
from torch.optim import Optimizer

from ..errors import ConfigError

_SKIPPED = 'skipped_steps'


@HOOKS.register_module()
class SkipEmptyBatchHook(Hook):
    """Skips the optimizer step where no point was visible in any image since the last step.

    Zero pairs give zero gradients, yet momentum and weight decay would still move the weights. With
    this hook parameters and optimizer state stay as they are; batch-norm statistics do follow the
    images and clouds, since the forward pass updates them. Such a step is counted over the whole
    training (resumed ones too), and logged: a warning each time, and from the first on
    ``train/skipped_steps`` among the scalars.

    The model counts its pairs in an attribute ``pairs_since_step``, summed over all processes, so that
    all of them decide alike; this hook sets it back to zero after each step. With gradient
    accumulation, a step is empty if all of its batches were.
    """

    def __init__(self) -> None:
        self.num_skipped = 0
        self._model: nn.Module | None = None

    def before_train(self, runner: Runner) -> None:
        """Watch the steps of the optimizer.

        Raises:
            ValueError: The model does not count its pairs.
        """
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        if not hasattr(model, 'pairs_since_step'):
            raise ConfigError(f'SkipEmptyBatchHook: {type(model).__name__} has no attribute '
                             'pairs_since_step; remove the hook from custom_hooks, or let the model '
                             'count its pairs there')
        model.pairs_since_step = 0
        self._model = model
        self.num_skipped = runner.message_hub.runtime_info.get(_SKIPPED, 0)
        runner.optim_wrapper.optimizer.register_step_pre_hook(self._drop_empty_gradients)

    def before_train_iter(self, runner: Runner, batch_idx: int,
                          data_batch: Sequence[dict] | None = None) -> None:
        """Remember the count, to tell afterwards whether this iteration skipped a step."""
        self._num_before = self.num_skipped

    def after_train_iter(self, runner: Runner, batch_idx: int,
                         data_batch: Sequence[dict] | None = None,
                         outputs: dict | None = None) -> None:
        """Log a skipped step; start a new count of pairs after each step."""
        if runner.optim_wrapper.should_update():
            self._model.pairs_since_step = 0
        if self.num_skipped > self._num_before:
            runner.logger.warning(
                f'iteration {runner.iter + 1}: no point is visible in any image of this step; weights '
                f'left as they were ({self.num_skipped} steps skipped so far). If this happens often, '
                'check the calibration, the range filter and the image crop')
        if self.num_skipped:
            runner.message_hub.update_info(_SKIPPED, self.num_skipped)
            runner.message_hub.update_scalar(f'train/{_SKIPPED}', self.num_skipped)

    def _drop_empty_gradients(self, optimizer: Optimizer, args: tuple, kwargs: dict) -> None:
        """Called before each step: optimizers leave parameters without gradient, and their state, alone."""
        if self._model.pairs_since_step > 0:
            return
        optimizer.zero_grad(set_to_none=True)
        self.num_skipped += 1
