"""Turning the weights of one library's layout into another's.

===============  ==================================================================================
``ours``         SimIPU of this package: ``img_backbone.``, ``point_encoder.``, ``intra_head.``...
``original``     SimIPU as first released: ``img_backbone.``, ``pts_backbone.``, ``mlp_*.layerN.``
``mmdet``        The bare image backbone of mmdet
``mmpretrain``   The backbone inside an mmpretrain classifier: ``backbone.``
``mmseg``        The backbone inside an mmsegmentation model, or inside one of the Monocular Depth
                 Estimation Toolbox: ``backbone.``
``torchvision``  The bare ResNet of torchvision, without its classifier ``fc``
``timm``         The bare ResNet of timm, without its classifier ``fc``
===============  ==================================================================================

A plain ResNet has the same keys in mmdet, torchvision and timm. What the keys do not show:
torchvision and timm have the stride in the 3x3 convolution (``style='pytorch'``), while
``style='caffe'`` has it in the 1x1 before; and each backbone expects the channel order, mean and
standard deviation it was trained with. Neither can be mended by renaming; where the checkpoint
names its style, a caffe one is refused.
"""
import re
from pathlib import Path
from typing import NamedTuple

from ..errors import CheckpointError
from .contents import check_shapes
from .exporting import BACKBONE_PREFIX, check_other_file, own_tensors, save_whole, take_prefix, write_weights
from .metadata import pretraining_facts
from .reading import PathLike, StateDict, check_finite, read_checkpoint, summarize_keys

TARGETS = ('ours', 'original', 'mmdet', 'torchvision', 'timm', 'mmpretrain', 'mmseg')

_ORIGINAL_TO_OURS = {
    'img_backbone.': BACKBONE_PREFIX,
    'pts_backbone.': 'point_encoder.',
    'mlp_intro_points.': 'intra_head.query_projector.',
    'mlp_cross_img.': 'inter_head.query_projector.',
    'mlp_cross_points.': 'inter_head.key_projector.',
}
_UNUSED_IN_ORIGINAL = ('img_conv1x1_1.', 'img_conv1x1_2.')  # built by its model, never called

_UNKNOWN_TO_ORIGINAL = ('depth_head.', 'momentum_keys.')
_POINTNET2 = re.compile(r'point_encoder\.(SA_modules|aggregation_mlps)\..+')

_PLAIN_RESNET = re.compile(
    r'(conv1|bn1|layer[1-4]\.\d+\.(conv[123]|bn[123]|downsample\.[01]))\.[a-z_]+')


class Conversion(NamedTuple):
    """Converted weights, and the keys of the source that the target has no place for."""
    state_dict: StateDict
    dropped: list[str]


def convert_checkpoint(checkpoint: PathLike, to: str, out: PathLike) -> Conversion:
    """Convert a checkpoint file; its layout is recognised by its keys.

    ``torchvision`` and ``timm`` files are flat state dicts, all others ``{'meta', 'state_dict'}``.

    Raises:
        CheckpointError: See ``read_checkpoint`` and ``convert``; also for weights that are NaN or infinite.
        OutputError: ``out`` cannot be written, or is the checkpoint itself.
    """
    check_other_file(checkpoint, out)
    state_dict, meta, *_ = read_checkpoint(checkpoint)
    check_finite(state_dict, checkpoint)
    check_shapes(state_dict, checkpoint)
    facts = pretraining_facts(meta)
    try:
        conversion = convert(state_dict, to, facts.get('backbone', {}).get('style', 'pytorch'))
    except CheckpointError as error:
        raise CheckpointError(f'{checkpoint}: {error}') from error
    if to in ('torchvision', 'timm'):
        save_whole(own_tensors(conversion.state_dict), out)
    else:
        write_weights(conversion.state_dict, out, dict(source=Path(checkpoint).name, **facts))
    return conversion


def convert(state_dict: StateDict, to: str, style: str = 'pytorch') -> Conversion:
    """Convert a state dict of any layout to the layout ``to``, one of ``TARGETS``.

    Args:
        style: Of the ResNet in ``state_dict``; its keys do not show it.

    Raises:
        CheckpointError: Unknown source layout, a key that the layout does not know, or a target
            that cannot hold these weights.
    """
    if to not in TARGETS:
        raise CheckpointError(f'unknown layout {to!r}; choose from {", ".join(TARGETS)}')
    ours, not_in_ours = _to_ours(state_dict, detect_layout(state_dict))
    converted, not_in_target = _from_ours(ours, to, style)
    return Conversion(converted, not_in_ours + not_in_target)


def detect_layout(state_dict: StateDict) -> str:
    """``'ours'``, ``'original'``, ``'prefixed'`` (``backbone.``) or ``'bare'`` (a plain ResNet)."""
    if any(key.startswith(('pts_backbone.', 'mlp_')) for key in state_dict):
        return 'original'
    if any(key.startswith(BACKBONE_PREFIX) for key in state_dict):
        return 'ours'
    if any(key.startswith('backbone.') for key in state_dict):
        return 'prefixed'
    if 'conv1.weight' in state_dict and 'layer1.0.conv1.weight' in state_dict:
        return 'bare'
    raise CheckpointError(
        f'unknown kind of model, with keys {summarize_keys(state_dict)}; expected SimIPU '
        "('img_backbone.*'), an OpenMMLab model ('backbone.*') or a bare ResNet ('conv1.*', "
        "'layer1.*')")


def _to_ours(state_dict: StateDict, layout: str) -> Conversion:
    if layout == 'ours':
        return Conversion(dict(state_dict), [])
    if layout == 'original':
        return _original_to_ours(state_dict)
    prefix = 'backbone.' if layout == 'prefixed' else ''
    backbone = take_prefix(state_dict, prefix)
    if layout == 'bare':  # torchvision's and timm's classifiers have their head beside the backbone
        backbone = {key: value for key, value in backbone.items() if not key.startswith('fc.')}
    heads = [key for key in state_dict if key.removeprefix(prefix) not in backbone]
    return Conversion({BACKBONE_PREFIX + key: value for key, value in backbone.items()}, heads)


def _from_ours(ours: StateDict, to: str, style: str) -> Conversion:
    if to == 'ours':
        return Conversion(ours, [])
    if to == 'original':
        _require_pointnet2(ours)
        dropped = [key for key in ours if key.startswith(_UNKNOWN_TO_ORIGINAL)]
        return Conversion({_key_of_original(key): ours[key] for key in ours if key not in dropped}, dropped)
    backbone = take_prefix(ours, BACKBONE_PREFIX)
    dropped = [key for key in ours if not key.startswith(BACKBONE_PREFIX)]
    if to in ('torchvision', 'timm'):
        _require_plain_resnet(backbone, to, style)
    if to in ('mmpretrain', 'mmseg'):
        backbone = {f'backbone.{key}': value for key, value in backbone.items()}
    return Conversion(backbone, dropped)


def _original_to_ours(state_dict: StateDict) -> Conversion:
    converted, unused = {}, []
    for key, value in state_dict.items():
        if key.startswith(_UNUSED_IN_ORIGINAL):
            unused.append(key)
            continue
        old, new = _matching_prefix(key, _ORIGINAL_TO_OURS, 'original')
        rest = key[len(old):]
        if old.startswith('mlp_'):  # layer1.0.weight -> layers.0.0.weight
            rest = re.sub(r'^layer(\d)', lambda match: f'layers.{int(match[1]) - 1}', rest)
        converted[new + rest] = value
    return Conversion(converted, unused)


def _key_of_original(key: str) -> str:
    ours_to_original = {new: old for old, new in _ORIGINAL_TO_OURS.items()}
    new, old = _matching_prefix(key, ours_to_original, 'our')
    rest = key[len(new):]
    if old.startswith('mlp_'):  # layers.0.0.weight -> layer1.0.weight
        rest = re.sub(r'^layers\.(\d)', lambda match: f'layer{int(match[1]) + 1}', rest)
    return old + rest


def _matching_prefix(key: str, table: dict[str, str], layout: str) -> tuple[str, str]:
    for prefix, replacement in table.items():
        if key.startswith(prefix):
            return prefix, replacement
    raise CheckpointError(f'key {key!r} has no counterpart: the {layout} layout is known to hold '
                          f'only {", ".join(name + "*" for name in table)}')


def _require_pointnet2(ours: StateDict) -> None:
    strange = [key for key in ours if key.startswith('point_encoder.') and not _POINTNET2.fullmatch(key)]
    if strange:
        raise CheckpointError(
            f'the original has no such point encoder: expected PointNet++ (SA_modules, aggregation_mlps), found '
            f'{strange[0]!r}. For the image backbone alone convert to mmdet, mmpretrain or mmseg')


def _require_plain_resnet(backbone: StateDict, to: str, style: str) -> None:
    strange = [key for key in backbone if not _PLAIN_RESNET.fullmatch(key)]
    if strange:
        raise CheckpointError(
            f'{to} has no such backbone: expected a plain ResNet (conv1, bn1, layer1 to layer4), '
            f'found {strange[0]!r}. Convert to mmdet, mmpretrain or mmseg')
    bottleneck = 'layer1.0.conv3.weight' in backbone
    if style == 'caffe' and bottleneck:
        raise CheckpointError(
            "the backbone was trained with style='caffe', which has its strides in the 1x1 "
            f"convolutions; {to}'s ResNet has them in the 3x3 ones and would compute other "
            'features from the same weights. Convert to mmdet, mmpretrain or mmseg and set style '
            'there')
