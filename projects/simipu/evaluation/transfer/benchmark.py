"""The protocol: which frames, which seeds, how the learning rate is chosen, what is measured."""
from dataclasses import dataclass, field
from typing import NamedTuple, Optional, Sequence

import torch
from mmengine.config import Config
from torch import nn

from ...building import build_split
from ...config_check import ConfigError
from ...datasets import DataError
from ...engine.seeding import mix_seeds
from ..depth_probe import DepthErrors
from .backbones import build_backbone, feature_level
from .controls import calibrate_batch_norm, position_features
from .finetune import FineTuning, fine_tune, score
from .frames import DepthFrames, load_depth_frames
from .probe import frozen_features, probe_errors

SCRATCH = 'scratch'
CALIBRATED = 'random + calibrated batch norm'
POSITION = 'pixel position only'


class Settings(NamedTuple):
    """Of a benchmark.

    Attributes:
        probe_frames: Labelled frames of the frozen probe.
        finetune_frames: Labelled frames of fine-tuning.
        scored_frames: Frames that errors are measured on; at most half of the set.
        steps: Of fine-tuning.
        batch_size: Images of a step.
        learning_rates: Of AdamW, tried for each backbone.
        num_seeds: A seed is which frames are labelled, what the decoder starts from and the order of
            the images; for random backbones, their weights too.
        long: Fine-tune four times as long as well.
    """
    probe_frames: int = 128
    finetune_frames: int = 32
    scored_frames: int = 128
    steps: int = 100
    batch_size: int = 8
    learning_rates: tuple[float, ...] = (3e-4, 1e-3, 3e-3, 1e-2)
    num_seeds: int = 3
    long: bool = False


class FrameSplit(NamedTuple):
    """Indices of frames: those that may be labelled, and those that errors are measured on."""
    labelled: list[int]
    scored: list[int]


@dataclass
class Measurement:
    """Of one backbone, a list of errors with one entry for each seed.

    Attributes:
        probe: Of the frozen probe.
        finetune: After fine-tuning; empty for controls.
        finetune_long: After four times the steps; empty if not asked for.
        learning_rate: The chosen one.
        tuning: AbsRel on held-out labelled frames for each learning rate.
    """
    probe: list[DepthErrors]
    finetune: list[DepthErrors] = field(default_factory=list)
    finetune_long: list[DepthErrors] = field(default_factory=list)
    learning_rate: Optional[float] = None
    tuning: dict[float, float] = field(default_factory=dict)


def parse_backbones(arguments: Sequence[str]) -> dict[str, Optional[list[str]]]:
    """``NAME=CHECKPOINT`` of a command line -> checkpoints by name, random weights (None) first.

    Raises:
        ConfigError: An argument is not of that form, or takes the name of a control.
    """
    backbones: dict[str, Optional[list[str]]] = {SCRATCH: None}
    for argument in arguments:
        name, _, checkpoint = argument.partition('=')
        if not name or not checkpoint or name in (SCRATCH, CALIBRATED, POSITION):
            raise ConfigError(f'--backbone {argument}: expected NAME=CHECKPOINT, with a name other than '
                              f'{SCRATCH!r}, {CALIBRATED!r} and {POSITION!r}, which are always measured')
        backbones.setdefault(name, []).append(checkpoint)
    return backbones


def split_frames(total: int, num_scored: int) -> FrameSplit:
    """The last frames are scored, at most half of them, and all before may be labelled.

    In one piece each, as neighbours in a drive look alike.

    Raises:
        DataError: There are fewer than 3.
    """
    if total < 3:
        raise DataError(f'{total} frames for the transfer benchmark; expected at least 3: one to label, one '
                        'to choose the learning rate by, one to score. Name an info file of more frames')
    first_scored = total - max(min(num_scored, total // 2), 1)
    return FrameSplit(list(range(first_scored)), list(range(first_scored, total)))


class TransferBenchmark:
    """Measures backbones on the validation set of a config, whose frames are loaded once.

    Args:
        cfg: Names the backbone, the level, the image size and normalisation, and the set.
        settings: Numbers of frames, steps and seeds.

    Raises:
        DataError: See :func:`load_depth_frames` and :func:`split_frames`.
    """

    def __init__(self, cfg: Config, settings: Settings = Settings()) -> None:
        self.cfg = cfg
        self.settings = settings
        self.level = feature_level(cfg)
        self.split = split_frames(len(build_split(cfg, 'val')), settings.scored_frames)
        self.pool = load_depth_frames(cfg, self.split.labelled)
        self.scored = load_depth_frames(cfg, self.split.scored)

    def describe(self) -> str:
        """How many frames are labelled and scored."""
        pool, settings = len(self.split.labelled), self.settings
        text = (f'{len(self.split.scored)} scored frames ({len(self.scored.depth)} LiDAR points); labelled '
                f'frames are drawn from {pool} others: {min(pool, settings.probe_frames)} for the frozen '
                f'probe, {min(pool, settings.finetune_frames)} for fine-tuning')
        wanted = max(settings.probe_frames, settings.finetune_frames)
        return text + (f' (wanted: {settings.probe_frames} and {settings.finetune_frames})'
                       if pool < wanted else '')

    def measure(self, checkpoints: Optional[list[str]] = None) -> Measurement:
        """Frozen probe and fine-tuning of a backbone, the learning rate chosen for it first.

        Args:
            checkpoints: Of one backbone, or of several that differ in the seed of their pre-training;
                seed i takes the i-th, and the first again after the last. None: random weights.
        """
        settings = self.settings
        result = Measurement([self.probe(seed, checkpoints) for seed in range(settings.num_seeds)])
        result.tuning = self.tune(checkpoints)
        result.learning_rate = min(result.tuning, key=result.tuning.get)
        recipe = FineTuning(settings.steps, settings.batch_size, result.learning_rate)
        for seed in range(settings.num_seeds):
            result.finetune.append(self.fine_tune(seed, recipe, checkpoints))
            if settings.long:
                longer = recipe._replace(steps=4 * recipe.steps)
                result.finetune_long.append(self.fine_tune(seed, longer, checkpoints))
        return result

    def measure_controls(self) -> dict[str, Measurement]:
        """Frozen probes on random features with fitting statistics, and on the pixel's position."""
        seeds = range(self.settings.num_seeds)
        return {CALIBRATED: Measurement([self.probe(seed, calibrated=True) for seed in seeds]),
                POSITION: Measurement([self.probe_position(seed) for seed in seeds])}

    def probe(self, seed: int, checkpoints: Optional[list[str]] = None,
              calibrated: bool = False) -> DepthErrors:
        """Errors of the frozen probe with the labelled frames of a seed."""
        labelled = self._draw(self.settings.probe_frames, seed)
        backbone = self._backbone(seed, checkpoints)
        if calibrated:
            calibrate_batch_norm(backbone, labelled)
        fitted, scored = (torch.cat(frozen_features(backbone, self.level, frames))
                          for frames in (labelled, self.scored))
        return probe_errors(fitted, labelled.depth, scored, self.scored.depth)

    def probe_position(self, seed: int) -> DepthErrors:
        """Errors of a probe that sees where a pixel is, and not the image."""
        labelled = self._draw(self.settings.probe_frames, seed)
        return probe_errors(position_features(labelled), labelled.depth,
                            position_features(self.scored), self.scored.depth)

    def fine_tune(self, seed: int, recipe: FineTuning,
                  checkpoints: Optional[list[str]] = None) -> DepthErrors:
        """Errors after fine-tuning on the labelled frames of a seed."""
        labelled = self._draw(self.settings.finetune_frames, seed)
        return score(fine_tune(self._backbone(seed, checkpoints), self.level, labelled, recipe, seed),
                     self.scored)

    def tune(self, checkpoints: Optional[list[str]] = None) -> dict[float, float]:
        """AbsRel of each learning rate on the last quarter of the frames that may be labelled.

        Trained on others of them, with the first seed and half of the steps.
        """
        frames = self.split.labelled
        num_held_out = max(len(frames) // 4, 1)
        labelled = self.pool.of(frames[:-num_held_out][:self.settings.finetune_frames])
        held_out = self.pool.of(frames[-num_held_out:])
        errors = {}
        for rate in self.settings.learning_rates:
            recipe = FineTuning(max(self.settings.steps // 2, 1), self.settings.batch_size, rate)
            model = fine_tune(self._backbone(0, checkpoints), self.level, labelled, recipe, seed=0)
            error = score(model, held_out).abs_rel
            errors[rate] = error if error == error else float('inf')  # a diverged one is never the best
        return errors

    def _draw(self, count: int, seed: int) -> DepthFrames:
        """``count`` of the frames that may be labelled, or all if there are fewer."""
        generator = torch.Generator().manual_seed(mix_seeds(seed))
        order = torch.randperm(len(self.split.labelled), generator=generator)[:count]
        return self.pool.of([self.split.labelled[i] for i in order.tolist()])

    def _backbone(self, seed: int, checkpoints: Optional[list[str]]) -> nn.Module:
        checkpoint = checkpoints[seed % len(checkpoints)] if checkpoints else None
        return build_backbone(self.cfg, checkpoint, seed)
