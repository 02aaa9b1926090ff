"""Writing weights so that any program can load them: tensors and plain Python values only."""
import io
import os
from pathlib import Path

import torch

from ..errors import CheckpointError, OutputError
from ..files import check_target, write_whole
from .contents import check_shapes
from .metadata import pretraining_facts
from .reading import PathLike, StateDict, check_finite, read_checkpoint, summarize_keys

BACKBONE_PREFIX = 'img_backbone.'


def export_backbone(checkpoint: PathLike, out: PathLike) -> StateDict:
    """Write the image backbone of a SimIPU checkpoint as a file of its own.

    The keys are those of the bare mmdet backbone, so a detector loads the file with
    ``init_cfg=dict(type='Pretrained', checkpoint=out)`` in its backbone's config. The file's small
    ``meta`` says what the backbone is and which image normalisation it was trained with.

    Args:
        checkpoint: A training checkpoint of this package, or one of the original SimIPU.
        out: File to write; an existing one is replaced only when the new one is complete.

    Returns:
        The tensors written.

    Raises:
        CheckpointError: See ``read_checkpoint``; also when the checkpoint is
            of a model without ``img_backbone``, or holds NaN, infinity or a weight of a shape that cannot be.
        OutputError: ``out`` cannot be written.
    """
    check_other_file(checkpoint, out)
    state_dict, meta, *_ = read_checkpoint(checkpoint)
    backbone = take_prefix(state_dict, BACKBONE_PREFIX)
    if not backbone:
        raise CheckpointError(
            f'{checkpoint} is no SimIPU checkpoint: no key starts with {BACKBONE_PREFIX!r}; found '
            f'{summarize_keys(state_dict)}. Give a checkpoint that `simipu train` wrote for a '
            'SimIPU config (work_dirs/<config>/*.pth)')
    check_finite(backbone, checkpoint)
    check_shapes(backbone, checkpoint)
    write_weights(backbone, out, dict(source=Path(checkpoint).name, **pretraining_facts(meta)))
    return backbone


def check_other_file(checkpoint: PathLike, out: PathLike) -> None:
    """Keep a checkpoint from being replaced by what is made of it.

    Raises:
        OutputError: ``out`` is the checkpoint itself, or a folder.
    """
    check_target(out)
    if os.path.realpath(out) == os.path.realpath(Path(checkpoint).expanduser()):
        raise OutputError(f'{out} is the checkpoint itself, which would be replaced; choose another name')


def backbone_prefix(state_dict: StateDict) -> str:
    """In front of the image backbone's keys; empty for the file of a bare backbone."""
    return next((prefix for prefix in (BACKBONE_PREFIX, 'backbone.')
                 if any(key.startswith(prefix) for key in state_dict)), '')


def take_prefix(state_dict: StateDict, prefix: str) -> StateDict:
    """The entries whose key starts with ``prefix``, without it."""
    return {key[len(prefix):]: value for key, value in state_dict.items() if key.startswith(prefix)}


def write_weights(state_dict: StateDict, out: PathLike, meta: dict) -> None:
    """Write ``{'meta': ..., 'state_dict': ...}``, the layout that MMEngine loads."""
    save_whole({'meta': meta, 'state_dict': own_tensors(state_dict)}, out)


def own_tensors(state_dict: StateDict) -> StateDict:
    """Contiguous copies: a tensor that is a view would drag its whole storage into the file."""
    return {key: value.detach().clone(memory_format=torch.contiguous_format)
            for key, value in state_dict.items()}


def save_whole(content: dict, out: PathLike) -> None:
    """``torch.save`` that leaves either the complete file or what was there before; see ``write_whole``."""
    stream = io.BytesIO()
    torch.save(content, stream)
    write_whole(out, stream.getvalue())
