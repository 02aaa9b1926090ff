"""Refuses a checkpoint of another model."""
from mmdet3d.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from ..errors import CheckpointError


@HOOKS.register_module()
class StrictCheckpointHook(Hook):
    """Stops where a loaded checkpoint is not one of the model that the config describes.

    MMEngine only logs tensors that do not match, and goes on with random weights. That is wanted when
    fine-tuning (``load_from``), so ``tools/train.py --resume`` and ``tools/test.py`` add this hook.
    """

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Compare names and shapes of all tensors.

        Raises:
            ValueError: Says how many differ and names the first few.
        """
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        wanted = _shapes(model.state_dict())
        found = _shapes(checkpoint.get('state_dict', checkpoint))
        differences = [f'{name} {wanted.get(name, "is not in the model")} in the config\'s model, '
                       f'{found.get(name, "missing")} in the checkpoint'
                       for name in sorted({*wanted, *found}) if wanted.get(name) != found.get(name)]
        if differences:
            shown = '\n  '.join(differences[:5] + ['...'] * (len(differences) > 5))
            raise CheckpointError(f'the checkpoint is of another model: {len(differences)} of '
                             f'{len({*wanted, *found})} tensors differ from the config\'s; give the config '
                             f'it was trained with\n  {shown}')


def _shapes(state_dict: dict) -> dict[str, tuple]:
    return {name.removeprefix('module.'): tuple(value.shape) for name, value in state_dict.items()
            if hasattr(value, 'shape')}
