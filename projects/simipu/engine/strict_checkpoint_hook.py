"""Raises an error for a checkpoint of another model."""
from collections.abc import Callable
from functools import wraps

from mmdet3d.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapperDict
from mmengine.runner import Runner

from ..checkpoints.contents import wrong_optimizer_state
from ..checkpoints.reading import shortened
from ..errors import CheckpointError, SimIPUError

# How MMEngine begins its message where names or shapes differ.
_DIFFERENCES = 'The model and loaded state dict do not match exactly'


@HOOKS.register_module()
class StrictCheckpointHook(Hook):
    """Stops where a checkpoint that the runner loads does not fill the model.

    MMEngine only logs tensors that do not match, and goes on with random weights. That is wanted when
    fine-tuning (``load_from``), so only resumed trainings and ``simipu test CONFIG CHECKPOINT`` have this
    hook.

    What counts is the loading, not the file: modules may convert what they load, as mmdet3d does with sparse
    convolutions that mmcv trained.
    """

    def before_run(self, runner: Runner) -> None:
        """Let the runner load checkpoints strictly; it does so after this call."""
        runner.load_checkpoint = _strictly(runner.load_checkpoint)
        runner.resume = _whole(runner.resume, runner)


class SomethingFitsHook(Hook):
    """Stops where nothing of a checkpoint that a training starts from (``load_from``) is of its model."""

    def before_run(self, runner: Runner) -> None:
        """Let the runner look at what it loads; it does so after this call."""
        load_checkpoint, model = runner.load_checkpoint, runner.model

        @wraps(load_checkpoint)
        def load(filename: str, *args, **kwargs) -> dict:
            content = load_checkpoint(filename, *args, **kwargs)
            weights = content.get('state_dict', content)
            wanted = getattr(model, 'module', model).state_dict()
            if not any(name.removeprefix('module.') in wanted for name in weights):
                raise CheckpointError(f'{filename}: none of its {len(weights)} tensors is of the model that the config '
                                      f'describes; found {shortened(list(weights))}, expected '
                                      f'{shortened(list(wanted))}')
            return content

        runner.load_checkpoint = load


def _whole(resume: Callable[..., None], runner: Runner) -> Callable[..., None]:
    """``Runner.resume`` that says what does not fit.

    Raises:
        CheckpointError: Optimizer state or schedules are damaged or of another optimizer.
    """

    @wraps(resume)
    def resume_whole(filename: str, *args, **kwargs) -> None:
        try:
            resume(filename, *args, **kwargs)
        except (ValueError, KeyError, TypeError, IndexError, AttributeError, AssertionError) as error:
            if isinstance(error, SimIPUError):
                raise
            problem = f'{type(error).__name__}: {error}'
        else:
            wrapper = runner.optim_wrapper
            wrappers = wrapper.values() if isinstance(wrapper, OptimWrapperDict) else [wrapper]
            problem = next(filter(None, (wrong_optimizer_state(item.optimizer) for item in wrappers)), None)
        if problem:
            raise CheckpointError(f'{filename}: its optimizer state or schedules do not fit the config ({problem}). '
                                  'Resume with the optim_wrapper and param_scheduler it was trained with or from '
                                  'another checkpoint, or set load_from in the config to start from its weights')

    return resume_whole


def _strictly(load_checkpoint: Callable[..., dict]) -> Callable[..., dict]:
    """``Runner.load_checkpoint`` with ``strict=True``.

    Raises:
        CheckpointError: Names the first few tensors that are missing, unexpected or of another shape.
    """

    @wraps(load_checkpoint)
    def load(filename: str, *args, **kwargs) -> dict:
        try:
            return load_checkpoint(filename, *args, **kwargs, strict=True)
        except RuntimeError as error:
            if not str(error).startswith(_DIFFERENCES):
                raise
            raise CheckpointError(f'{filename} is of another model than the config describes; give the config it '
                                  f'was trained with\n  {_shortened(str(error))}') from error

    return load


def _shortened(message: str, lines: int = 5, width: int = 160) -> str:
    """The first few differences of MMEngine's message, one a line."""
    differences = [line.strip() for line in message.splitlines()[1:] if line.strip()]
    shown = [line if len(line) <= width else f'{line[:width]} ...' for line in differences[:lines]]
    return '\n  '.join(shown + ['...'] * (len(differences) > lines))
