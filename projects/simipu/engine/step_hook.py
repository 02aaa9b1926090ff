"""What hooks share that look at the gradients before each step of the optimizer."""
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch.optim import Optimizer


class StepHook(Hook):
    """Counts steps that were left out, wholly or in part.

    A parameter whose gradient is None is left alone by the optimizer, and so is its state (momentum); a
    subclass sets it so in ``_before_step``. With mixed precision that method sees unscaled gradients, and is not
    called where ``GradScaler`` leaves out the step itself.

    Attributes:
        counter: Name of the count in checkpoints, from which it goes on when resumed, and among the scalars.
        num_skipped: Steps left out since the training began.
    """
    counter: str
    num_skipped = 0

    def before_train(self, runner: Runner) -> None:
        """Watch the steps of the optimizer."""
        self._model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        self.num_skipped = runner.message_hub.runtime_info.get(self.counter, 0)
        runner.optim_wrapper.optimizer.register_step_pre_hook(self._before_step)

    def _before_step(self, optimizer: Optimizer, args: tuple, kwargs: dict) -> None:
        """Called with the arguments of ``optimizer.step``."""
        raise NotImplementedError

    def _update_scalar(self, runner: Runner) -> None:
        """Log the count from the first skipped step on."""
        if self.num_skipped:
            runner.message_hub.update_info(self.counter, self.num_skipped)
            runner.message_hub.update_scalar(f'train/{self.counter}', self.num_skipped)
