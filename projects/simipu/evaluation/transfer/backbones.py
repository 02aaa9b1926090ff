"""The backbones that are compared: random weights, or those of a checkpoint."""

from mmdet3d.registry import MODELS
from mmengine.config import Config
from mmengine.device import get_device
from torch import nn

from ...building import initialise_weights, registry_scope
from ...checkpoints import read_state_dict
from ...checkpoints.exporting import backbone_prefix, take_prefix
from ...checkpoints.initialising import initial_files, loads_file
from ...checkpoints.reading import check_finite
from ...config import construction_errors_named
from ...errors import CheckpointError
from ...seeding import seed_everything


def feature_level(cfg: Config) -> int:
    """Which of the backbone's maps is measured: the one that the pre-training contrasts.

    The last where it contrasts several; the backbone's deepest where a neck is in between.
    """
    if cfg.model.get('img_neck'):
        return -1
    level = cfg.model.get('img_level', -1)
    return level if isinstance(level, int) else level[-1]


def has_own_random_weights(cfg: Config) -> bool:
    """Whether the config says how random weights of the backbone are drawn, and does not leave it to its class."""
    return _random_init_cfg(cfg) is not None


def _random_init_cfg(cfg: Config) -> dict | list | None:
    """The config's ``init_cfg`` without what loads a file; None where it says nothing else."""
    init_cfg = cfg.model.img_backbone.get('init_cfg')
    if not initial_files(init_cfg):
        return init_cfg
    steps = init_cfg if isinstance(init_cfg, list) else [init_cfg]
    return [step for step in steps if not loads_file(step)] or None


def build_backbone(cfg: Config, checkpoint: str | None = None, seed: int = 0,
                   class_init: bool = False) -> nn.Module:
    """The config's ``model.img_backbone``, on the GPU if there is one.

    Args:
        cfg: Any config of a SimIPU model.
        checkpoint: Of SimIPU (``img_backbone.``), of an OpenMMLab model (``backbone.``), or of a bare
            backbone, as ``simipu export`` and torchvision write it. None: the backbone's
            own random initialisation, even where the config starts from a checkpoint.
        seed: Of the random weights.
        class_init: Whether random weights are the class's own, whatever the config's ``init_cfg``: those
            of a detector whose config has none.

    Raises:
        CheckpointError: The file is missing, no checkpoint, or lacks a tensor of
            the backbone.
    """
    config = cfg.model.img_backbone.to_dict()
    config.pop('pretrained', None)
    config.pop('init_cfg', None)  # which not every class takes
    if not class_init and has_own_random_weights(cfg):
        config['init_cfg'] = _random_init_cfg(cfg)
    seed_everything(seed)
    with construction_errors_named(cfg), registry_scope(cfg):
        backbone = MODELS.build(config)
    initialise_weights(backbone)
    if checkpoint is not None:
        _load(backbone, checkpoint)
    return backbone.to(get_device())


def _load(backbone: nn.Module, checkpoint: str) -> None:
    """Load every tensor; those of the file that the backbone lacks (heads, deeper stages) are left out."""
    state_dict = read_state_dict(checkpoint)
    check_finite(state_dict, checkpoint)
    weights = take_prefix(state_dict, backbone_prefix(state_dict))
    wanted = backbone.state_dict()
    # Files of before PyTorch 0.4.1 lack the counters of batch norm, which do not act on features.
    missing = [name for name in wanted
               if name not in weights and not name.endswith('num_batches_tracked')]
    differing = [f'{name} {tuple(weights[name].shape)} instead of {tuple(value.shape)}'
                 for name, value in wanted.items()
                 if name in weights and weights[name].shape != value.shape]
    if missing or differing:
        raise CheckpointError(
            f'{checkpoint} does not fit model.img_backbone ({type(backbone).__name__}): '
            f'{len(missing)} of {len(wanted)} tensors missing {_listed(missing)}, {len(differing)} of '
            f'another shape {_listed(differing)}. Give a checkpoint of the same backbone, or a config of '
            'that one')
    backbone.load_state_dict({name: weights[name] for name in wanted if name in weights}, strict=False)


def _listed(names: list[str], limit: int = 6) -> str:
    more = [f'... {len(names) - limit} more'] if len(names) > limit else []
    return f'({", ".join(names[:limit] + more)})'
