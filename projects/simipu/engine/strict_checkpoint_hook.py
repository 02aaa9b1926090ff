"""Raises an error for a checkpoint of another model."""
from collections.abc import Callable
from functools import wraps

from mmdet3d.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ..errors import CheckpointError

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
