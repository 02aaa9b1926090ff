"""No step by NaN or infinite gradients, and no checkpoint of NaN or infinite weights."""
from collections.abc import Callable, Sequence
from functools import wraps

from mmdet3d.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor
from torch.optim import Optimizer

from ..checkpoints.reading import non_finite_tensors, shortened
from ..compat import get_total_norm
from ..errors import CheckpointError, TrainingError
from .latest_checkpoint import find_latest_checkpoint
from .step_hook import StepHook

_CAUSES = ('Likely causes: a learning rate that is too high (now up to {lr:g}; clipping by optim_wrapper.clip_grad '
           'helps, too), NaN or huge values in the data (run: simipu check-dataset), or float16 (leave out --amp). ')


@HOOKS.register_module()
class FiniteHook(StepHook):
    """Leaves out steps whose loss or gradient is not finite, and stops where that goes on.

    After a step that was left out, weights, optimizer state and buffers (batch-norm statistics, queues) are those
    of before it. Such steps are counted over the whole training and logged: a warning each time, and from the
    first on ``train/non_finite_steps`` among the scalars. The check costs one synchronisation with the device for
    each step. It looks at the norm of all gradients, which overflows in float32 from 1.8e19 on, so gradients whose
    squares Adam could not hold count as infinite.

    Several processes decide alike: a loss that is not finite makes the gradients of its process NaN, and through
    their average those of all. Steps that ``GradScaler`` leaves out of a training in float16 are not counted while
    its scale falls and is at least 1, since infinite gradients are how it finds its scale.

    Args:
        max_in_a_row: So many steps left out one after another end the training.

    Raises:
        TrainingError: Too many steps in a row were left out, or weights became NaN or infinite and would be saved;
            names likely causes and the last checkpoint.
        CheckpointError: The training would start from weights that are not finite.
    """
    counter = 'non_finite_steps'
    priority = 'ABOVE_NORMAL'  # buffers are put back before other hooks average or save them

    def __init__(self, max_in_a_row: int = 5) -> None:
        self.max_in_a_row = max_in_a_row
        self._in_a_row = 0
        self._finite: bool | None = None  # None: the optimizer was not called
        self._scale = float('inf')  # of GradScaler after the last step, if that was left out
        self._at_start_of_step = True

    def before_train(self, runner: Runner) -> None:
        """Watch losses and gradients; called after weights are loaded."""
        super().before_train(runner)
        names = non_finite_tensors(self._model.state_dict())
        if names:
            raise CheckpointError(f'the weights to start from hold NaN or infinity ({shortened(names)}); name another '
                                  'checkpoint by --resume, load_from or init_cfg, whichever they came from')
        runner.optim_wrapper.scale_loss = _with_gradient_nan_unless_finite(runner.optim_wrapper.scale_loss)

    def before_train_iter(self, runner: Runner, batch_idx: int,
                          data_batch: Sequence[dict] | None = None) -> None:
        """Keep the buffers, which the forward pass changes before anything can be checked."""
        if self._at_start_of_step:
            self._buffers = {name: buffer.clone() for name, buffer in self._model.named_buffers()}

    def after_train_iter(self, runner: Runner, batch_idx: int,
                         data_batch: Sequence[dict] | None = None,
                         outputs: dict | None = None) -> None:
        """Undo and count a step that was left out."""
        self._at_start_of_step = runner.optim_wrapper.should_update()
        if not self._at_start_of_step:
            return
        if self._finite:
            self._in_a_row, self._scale = 0, float('inf')
        else:
            for name, buffer in self._model.named_buffers():
                buffer.copy_(self._buffers[name])
            if self._finite is False or not self._scale_falls(runner):
                self._count(runner)
        self._finite = None
        self._update_scalar(runner)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Refuse to write weights that are not finite; an earlier checkpoint stays as it is."""
        weights = checkpoint['state_dict']
        names = non_finite_tensors(weights)
        if not self._at_start_of_step:  # the gradients accumulated so far are not saved, nor are their bad buffers
            weights.update({name: self._buffers[name].cpu() for name in names if name in self._buffers})
            names = non_finite_tensors(weights)
        if names:
            raise TrainingError(f'iteration {runner.iter + 1}: the weights became NaN or infinite '
                                f'({shortened(names)}) and were not saved. {_advice(runner)}')

    def _before_step(self, optimizer: Optimizer, args: tuple, kwargs: dict) -> None:
        """Drop all gradients where their norm is not finite."""
        norm = get_total_norm(weight.grad for group in optimizer.param_groups for weight in group['params']
                              if weight.grad is not None)
        self._finite = bool(norm.isfinite())
        if not self._finite:
            optimizer.zero_grad(set_to_none=True)

    def _scale_falls(self, runner: Runner) -> bool:
        """Whether ``GradScaler`` left out this step to find a scale at which gradients are finite."""
        before, self._scale = self._scale, runner.optim_wrapper.loss_scaler.get_scale()
        return 1 <= self._scale < before

    def _count(self, runner: Runner) -> None:
        self.num_skipped += 1
        self._in_a_row += 1
        runner.logger.warning(f'iteration {runner.iter + 1}: loss or gradients are NaN or infinite; the step was left '
                              f'out ({self.num_skipped} such steps so far)')
        if self._in_a_row == self.max_in_a_row:
            raise TrainingError(f'iteration {runner.iter + 1}: loss or gradients were NaN or infinite in '
                                f'{self._in_a_row} steps in a row. {_advice(runner)}')


def _with_gradient_nan_unless_finite(scale_loss: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """``OptimWrapper.scale_loss``, with a factor of exactly 1 or, for a loss that is not finite, NaN."""

    @wraps(scale_loss)
    def scale(loss: Tensor) -> Tensor:
        return scale_loss(loss * (1 + 0 * loss.detach()))

    return scale


def _advice(runner: Runner) -> str:
    """Likely causes, and from where to go on."""
    lr = max(group['lr'] for group in runner.optim_wrapper.optimizer.param_groups)
    try:
        last = find_latest_checkpoint(runner.work_dir).path
    except CheckpointError:  # none of them can be read
        last = None
    if last is None:
        return _CAUSES.format(lr=lr) + 'No checkpoint was saved before.'
    return (_CAUSES.format(lr=lr) + f'The last good checkpoint is {last}: --resume goes on from it with the same '
            f'settings, --cfg-options load_from={last} --work-dir NEW takes its weights with others')
