"""Proof that a detector's backbone holds the pre-trained weights after its ``init_weights``.

MMEngine loads pre-trained weights with ``strict=False``: a wrong file, prefix or depth leaves the
backbone at random values with no more than a line in the log. Here every tensor is looked at.
"""
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from mmcv.ops import DeformConv2dPack, ModulatedDeformConv2dPack
from mmengine.config import Config, ConfigDict
from mmengine.registry import MODELS, DefaultScope
from torch import nn

from ..config import construction_errors_named, read_config
from ..config.sections import check_kinds
from ..errors import CheckpointError
from .exporting import backbone_prefix, take_prefix
from .metadata import pretraining_facts
from .reading import PathLike, StateDict, check_finite, read_checkpoint, summarize_keys

_BACKBONE_NAMES = ('img_backbone', 'backbone')
_DEFAULTS = dict(style='pytorch', mean=None, std=None, bgr_to_rgb=False)
"""What OpenMMLab's ResNets and data preprocessors do where a config does not say it."""


@dataclass
class VerificationReport:
    """What became of each tensor of the detector's backbone, by its name in the backbone.

    Attributes:
        loaded: Equal to the file's value after ``init_weights``.
        changed: Those of ``loaded`` that had another value before.
        missing: In the backbone, not in the file.
        mismatched: In both, of different shape: (shape in the file, shape in the backbone).
        not_loaded: In both, same shape, but of another value after ``init_weights``.
        unexpected: In the file, not in the backbone; does no harm.
        new_layers: Offset predictors of deformable convolutions, which start at zero and which no
            file of a plain backbone holds.
        counters: Batch norm's step counters that an older file lacks; they do not act on features.
        warnings: Differences between pre-training and detector that spoil features without changing
            a key: ResNet style, image normalisation.
    """
    weights: str
    detector_config: str
    backbone: str
    init_cfg: dict
    found: str
    loaded: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    mismatched: dict[str, tuple] = field(default_factory=dict)
    not_loaded: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    new_layers: list[str] = field(default_factory=list)
    counters: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Every tensor of the backbone that a file can hold was loaded from it."""
        return bool(self.loaded) and not (self.missing or self.mismatched or self.not_loaded)

    def __str__(self) -> str:
        shapes = [f'{name} (file {in_file}, backbone {in_backbone})'
                  for name, (in_file, in_backbone) in self.mismatched.items()]
        lines = [
            f'weights    {self.weights}',
            f'detector   {self.detector_config}, backbone {self.backbone}',
            f'init_cfg   {self.init_cfg}',
            f'matched    {len(self.loaded)} tensors equal the file after init_weights, '
            f'{len(self.changed)} of them changed by it',
            _listed('missing', 'not in the file', self.missing),
            _listed('mismatched', 'of another shape', shapes),
            _listed('not loaded', 'of another value than in the file', self.not_loaded),
            _listed('unexpected', 'only in the file (harmless)', self.unexpected),
            _listed('new', 'offsets of deformable convolutions, start at zero', self.new_layers),
            _listed('counters', 'batch-norm counters not in the file (harmless)', self.counters),
            *[f'WARNING    {warning}' for warning in self.warnings],
            self._verdict(),
        ]
        return '\n'.join(line for line in lines if line)

    def _verdict(self) -> str:
        if self.ok:
            return 'OK: every tensor of the backbone was loaded'
        failed = len(self.missing) + len(self.mismatched) + len(self.not_loaded)
        total = failed + len(self.loaded)
        return (f'FAILED: {failed} of {total} tensors of the backbone were not loaded. The file '
                f'holds {self.found}; the backbone must be of the same type and depth')


def verify_pretrained(detector_config: PathLike, weights: PathLike,
                      backbone_only: bool = False) -> VerificationReport:
    """Build the detector, let its ``init_weights`` load the weights, and compare every tensor.

    Args:
        detector_config: Config of any OpenMMLab detector with a ``backbone`` or ``img_backbone``, wherever
            in its model. That backbone's ``init_cfg`` is replaced by one that loads ``weights``.
        weights: An exported backbone, a training checkpoint of SimIPU (``img_backbone.``) or of an
            OpenMMLab model (``backbone.``).
        backbone_only: Build the backbone alone, and go on without those ``custom_imports`` that fail: for
            detectors whose other parts cannot be built here, such as GPU operators that are not compiled.

    Raises:
        CheckpointError: See ``read_checkpoint``; also where it holds NaN or infinity, where the config has
            no image backbone, or where MMEngine does not look for the weights in their file.
        ConfigError: There is no such config, or it builds on a package or module that cannot be imported.
    """
    checkpoint = read_checkpoint(weights)
    if checkpoint.container not in ('', 'state_dict'):
        raise CheckpointError(f'{weights} holds its weights in {checkpoint.container!r}, where MMEngine does not look '
                              'for them. Write them where it does, and name that file: simipu convert '
                              f'{weights} backbone.pth --to mmdet')
    check_finite(checkpoint.state_dict, weights)
    cfg = read_config(detector_config, skip_failed_imports=backbone_only)
    check_kinds(cfg)
    place = _backbone_place(cfg, detector_config)
    settings = _config_at(cfg.model, place)
    prefix = backbone_prefix(checkpoint.state_dict)
    settings.init_cfg = dict(type='Pretrained', checkpoint=str(weights))
    if prefix:  # which MMEngine looks for as it is; without one, it takes a wrapper off
        settings.init_cfg['prefix'] = checkpoint.wrapper + prefix
    settings.pop('pretrained', None)

    with construction_errors_named(cfg), _quiet(), \
            DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmdet3d')):
        built = MODELS.build(settings if backbone_only else cfg.model)
        backbone = built if backbone_only else built.get_submodule(place)
        before = {key: value.clone() for key, value in backbone.state_dict().items()}
        built.init_weights()
    report = VerificationReport(
        weights=str(weights), detector_config=str(detector_config), init_cfg=settings.init_cfg.to_dict(),
        backbone=f'model.{place} ({type(backbone).__name__}{", built alone" if backbone_only else ""})',
        found=summarize_keys(checkpoint.state_dict),
        warnings=_differences(pretraining_facts(checkpoint.meta), settings,
                              _preprocessor_of(cfg.model, place)))
    _compare(report, before, backbone, take_prefix(checkpoint.state_dict, prefix))
    return report


def _backbone_place(cfg: Config, path: PathLike) -> str:
    """Dotted place of the image backbone in the model, the outermost one: ``img_backbone``, ``detector.backbone``."""
    model = cfg.get('model') or {}
    places = sorted(_places(model), key=lambda place: place.count('.'))
    for name in _BACKBONE_NAMES:
        for place in places:
            if place.rpartition('.')[2] == name:
                return place
    raise CheckpointError(f'{path}: no image backbone; expected an img_backbone or backbone in the '
                          f'model, found model with {", ".join(model) or "nothing"}')


def _places(config: dict) -> Iterator[str]:
    """Dotted places of all dicts inside."""
    for key, value in config.items():
        if isinstance(value, dict):
            yield key
            yield from (f'{key}.{place}' for place in _places(value))


def _preprocessor_of(model: ConfigDict, place: str) -> dict:
    """The ``data_preprocessor`` that is nearest to the backbone: of the detector in a wrapper, else of the model."""
    parts = place.split('.')[:-1]
    around = [_config_at(model, '.'.join(parts[:number])) for number in range(len(parts), 0, -1)]
    return next((config.data_preprocessor for config in [*around, model] if config.get('data_preprocessor')), {})


def _config_at(config: ConfigDict, place: str) -> ConfigDict:
    for key in place.split('.'):
        config = config[key]
    return config


@contextmanager
def _quiet() -> Iterator[None]:
    """MMEngine logs a line per parameter and warns of each difference; the report says it all."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(level)


def _compare(report: VerificationReport, before: StateDict, backbone: nn.Module,
             file: StateDict) -> None:
    after = backbone.state_dict()
    offsets = _new_offsets(backbone)
    report.unexpected = [key for key in file if key not in after]
    for key, value in after.items():
        if key not in file:
            absent = (report.new_layers if key in offsets else
                      report.counters if _is_counter(key, file) else report.missing)
            absent.append(key)
        elif file[key].shape != value.shape:
            report.mismatched[key] = (tuple(file[key].shape), tuple(value.shape))
        elif not torch.equal(file[key].to(value.dtype), value):
            report.not_loaded.append(key)
        else:
            report.loaded.append(key)
            if not torch.equal(before[key], value):
                report.changed.append(key)


def _new_offsets(backbone: nn.Module) -> set[str]:
    """Offset predictors of deformable convolutions that are still zero, as these start."""
    layers = ((name, module.conv_offset) for name, module in backbone.named_modules()
              if isinstance(module, (DeformConv2dPack, ModulatedDeformConv2dPack)))
    return {f'{name}.conv_offset.{kind}' for name, layer in layers
            for kind, value in layer.named_parameters() if not value.any()}


def _is_counter(key: str, file: StateDict) -> bool:
    """Of a batch norm that is in the file in all else, as in files of before PyTorch 0.4.1."""
    layer, _, kind = key.rpartition('.')
    return kind == 'num_batches_tracked' and f'{layer}.running_mean' in file


def _differences(facts: dict, backbone: dict, data_preprocessor: dict) -> list[str]:
    """Settings of pre-training that the detector does not share, one sentence each."""
    sentences = []
    for part, config, fields in (('backbone', backbone, ('style',)),
                                 ('data_preprocessor', data_preprocessor, ('mean', 'std', 'bgr_to_rgb'))):
        known = facts.get(part, {})
        for key in fields:
            if key in known and _listify(known[key]) != _listify(config.get(key, _DEFAULTS[key])):
                found = config[key] if key in config else f'none, which means {_DEFAULTS[key]}'
                sentences.append(f'pre-trained with {part}.{key}={known[key]}, the detector has {found}: its features '
                                 'will differ')
    return sentences


def _listify(value: object) -> object:
    return list(value) if isinstance(value, (list, tuple)) else value


def _listed(title: str, meaning: str, names: list[str], limit: int = 6) -> str:
    if not names:
        return ''
    more = f', ... {len(names) - limit} more' if len(names) > limit else ''
    return f'{title:<11}{len(names)} {meaning}: {", ".join(names[:limit])}{more}'
