"""The protocol: which frames, which seeds, how the learning rate is chosen, what is measured."""
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from torch import Tensor, nn

from ...building import build_split
from ...errors import ConfigError, DataError
from ...seeding import mix_seeds
from ..linear_probe import DepthErrors, LinearProbe
from .backbones import build_backbone, feature_level
from .controls import calibrate_batch_norm, position_features
from .finetune import FineTuning, fine_tune, score
from .frames import DepthFrames, load_depth_frames
from .probe import frozen_features, frozen_probe, probe_errors
from .targets import ProbeTarget

SCRATCH = 'scratch'
CALIBRATED = 'random + calibrated batch norm'
CLASS_INIT = 'random as detectors start'
POSITION = 'pixel position only'
CONTROLS = (SCRATCH, CALIBRATED, CLASS_INIT, POSITION)


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
    """
    probe_frames: int = 128
    finetune_frames: int = 32
    scored_frames: int = 128
    steps: int = 100
    batch_size: int = 4
    learning_rates: tuple[float, ...] = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
    num_seeds: int = 3


class FrameSplit(NamedTuple):
    """Indices of frames: those that may be labelled, and those that errors are measured on."""
    labelled: list[int]
    scored: list[int]

    def describe(self, settings: Settings) -> str:
        """How many frames are labelled and scored, and how many were asked for."""
        pool = len(self.labelled)
        labelled = ', '.join(
            f'{min(pool, count)}{f" (of {count} asked for)" if pool < count else ""} for {task}'
            for task, count in (('the frozen probe', settings.probe_frames),
                                ('fine-tuning', settings.finetune_frames)))
        scored = f'{len(self.scored)} frames are scored'
        if len(self.scored) < settings.scored_frames:
            scored += f' (of {settings.scored_frames} asked for)'
        return f'{scored}; of {pool} others, labelled are: {labelled}'


@dataclass
class Measurement:
    """Of one backbone or control, a list of errors with one entry for each seed.

    Attributes:
        probe: Of the frozen probe.
        finetune: After fine-tuning; empty for controls.
        finetune_long: After four times the steps; empty if not asked for.
        tuning: AbsRel on held-out labelled frames for each learning rate.
    """
    probe: list[DepthErrors]
    finetune: list[DepthErrors] = field(default_factory=list)
    finetune_long: list[DepthErrors] = field(default_factory=list)
    tuning: dict[float, float] = field(default_factory=dict)

    @property
    def learning_rate(self) -> float:
        """The best on held-out frames."""
        return min(self.tuning, key=self.tuning.get)


def parse_backbones(arguments: Sequence[str]) -> dict[str, list[str] | None]:
    """``NAME=CHECKPOINT`` of a command line -> checkpoints by name, random weights (None) first.

    Raises:
        ConfigError: An argument is not of that form, or takes the name of a control.
    """
    backbones: dict[str, list[str] | None] = {SCRATCH: None}
    for argument in arguments:
        name, _, checkpoint = argument.partition('=')
        if not name or not checkpoint or name in CONTROLS:
            raise ConfigError(f'--backbone {argument}: expected NAME=CHECKPOINT, with a name other than '
                              f'{", ".join(map(repr, CONTROLS))}, which are for what is measured anyway')
        backbones.setdefault(name, []).append(checkpoint)
    return backbones


def take_training_frames_if_alone(cfg: Config) -> bool:
    """Let validation read the training set's info file where its own is missing, as in a folder of few frames.

    Returns:
        Whether it was so. A backbone that was pre-trained with this config has seen these frames.
    """
    training, validation = cfg.train_dataloader.dataset, cfg.val_dataloader.dataset
    if 'ann_file' not in training or 'ann_file' not in validation:  # of several sets
        return False
    exists = [Path(dataset.data_root, dataset.ann_file).is_file() for dataset in (training, validation)]
    if exists != [True, False]:
        return False
    validation.ann_file = training.ann_file
    return True


def split_frames(cfg: Config, settings: Settings) -> FrameSplit:
    """The last frames of the validation set are scored, at most half, and all before may be labelled.

    In one piece each, as neighbours in a drive look alike.

    Raises:
        DataError: There are fewer than 3 frames.
    """
    total = len(build_split(cfg, 'val'))
    if total < 3:
        raise DataError(f'{total} frames for the transfer benchmark; expected at least 3: one to label, '
                        'one to choose the learning rate by, one to score. Name an info file of more')
    first_scored = total - max(min(settings.scored_frames, total // 2), 1)
    return FrameSplit(list(range(first_scored)), list(range(first_scored, total)))


def count_training_frames(cfg: Config) -> int:
    """How many frames of the config's validation set are in its training set as well, by their cloud.

    A backbone that was pre-trained with this config has seen them. 0 where the training set is not there.
    """
    try:
        clouds = _clouds(build_split(cfg, 'train'))
    except DataError:
        return 0
    return len(clouds & _clouds(build_split(cfg, 'val')))


def _clouds(dataset: BaseDataset) -> set[str]:
    return {dataset.get_data_info(index)['lidar_path'] for index in range(len(dataset))}


class TransferBenchmark:
    """What is measured of a backbone, on the validation set of a config, whose frames are loaded once.

    Args:
        cfg: Names the backbone, the level, the image size and normalisation, and the set.
        settings: Numbers of frames, steps and seeds.
        target: What ``probe_target`` reads. It takes all points of a cloud for neighbours, so the pipeline should not
            sample them.

    Raises:
        DataError: See ``load_depth_frames`` and ``split_frames``.
    """

    def __init__(self, cfg: Config, settings: Settings = Settings(), target: ProbeTarget | None = None) -> None:
        self.cfg = cfg
        self.settings = settings
        self.target = target
        self.level = feature_level(cfg)
        self.split = split_frames(cfg, settings)
        self.pool = load_depth_frames(cfg, self._needed_frames(), target=target)
        self.scored = load_depth_frames(cfg, self.split.scored, target=target)

    def probe(self, seed: int, checkpoints: list[str] | None = None,
              calibrated: bool = False) -> DepthErrors:
        """Errors of the frozen probe on the labelled frames of a seed.

        Args:
            seed: Which frames are labelled, and of random weights.
            checkpoints: Of one backbone, or of several that differ in the seed of their pre-training;
                seed i takes the i-th, and the first again after the last. None: random weights.
            calibrated: Set the running statistics of batch norm to those of the labelled frames.
        """
        labelled = self._draw_for_probe(seed)
        backbone = self._backbone(seed, checkpoints)
        if calibrated:
            calibrate_batch_norm(backbone, labelled)
        return self._probe(backbone, labelled)

    def probe_class_init(self, seed: int) -> DepthErrors:
        """Errors of the frozen probe of weights from the class's own initialisation, see ``build_backbone``."""
        return self._probe(build_backbone(self.cfg, seed=seed, class_init=True), self._draw_for_probe(seed))

    def probe_position(self, seed: int) -> DepthErrors:
        """Errors of a probe that sees where a pixel is, and not the image."""
        labelled = self._draw_for_probe(seed)
        return probe_errors(position_features(labelled), labelled.depth,
                            position_features(self.scored), self.scored.depth)

    def probe_beyond_position(self, seed: int, checkpoints: list[str] | None = None) -> DepthErrors:
        """Errors of a probe that sees the features and where a pixel is.

        Against ``probe_position``, what the features tell beyond the place.
        """
        labelled, backbone = self._draw_for_probe(seed), self._backbone(seed, checkpoints)
        return probe_errors(self._features(backbone, labelled), labelled.depth,
                            self._features(backbone, self.scored), self.scored.depth)

    def probe_target(self, seed: int, checkpoints: list[str] | None = None,
                     position_only: bool = False) -> dict[str, float]:
        """Figures of a probe of the target that sees where a pixel is and, by default, the features."""
        labelled = self._draw_for_probe(seed)
        backbone = None if position_only else self._backbone(seed, checkpoints)
        known = [~frames.values.isnan().any(1) for frames in (labelled, self.scored)]
        fitted, scored = (self._features(backbone, frames)[rows]
                          for frames, rows in zip((labelled, self.scored), known))
        probe = LinearProbe().fit(fitted, labelled.values[known[0]])
        return self.target.score(probe.predict(scored), self.scored.values[known[1]])

    def fine_tune(self, seed: int, checkpoints: list[str] | None, learning_rate: float,
                  long: bool = False) -> DepthErrors:
        """Errors after fine-tuning on the labelled frames of a seed, four times as long if ``long``."""
        steps = self.settings.steps * (4 if long else 1)
        labelled = self.pool.of(self._drawn_frames(self.settings.finetune_frames, seed))
        return self._fine_tune(seed, checkpoints, labelled, self.scored, learning_rate, steps)

    def tune(self, checkpoints: list[str] | None) -> dict[float, float]:
        """AbsRel for each learning rate, on labelled frames that were held out.

        The last quarter of the frames that may be labelled, at most 64, are held out; the first seed
        is trained on others of them for half of the steps.
        """
        labelled, held_out = map(self.pool.of, self._tuning_frames())
        steps = max(self.settings.steps // 2, 1)
        errors = {rate: self._fine_tune(0, checkpoints, labelled, held_out, rate, steps).abs_rel
                  for rate in self.settings.learning_rates}
        # A rate at which training diverges is never the best.
        return {rate: float('inf') if math.isnan(error) else error for rate, error in errors.items()}

    def _fine_tune(self, seed: int, checkpoints: list[str] | None, labelled: DepthFrames,
                   scored: DepthFrames, learning_rate: float, steps: int) -> DepthErrors:
        recipe = FineTuning(steps, self.settings.batch_size, learning_rate)
        backbone = self._backbone(seed, checkpoints)
        return score(fine_tune(backbone, self.level, labelled, recipe, seed), scored)

    def _features(self, backbone: nn.Module | None, frames: DepthFrames) -> Tensor:
        """(K, C) of where a pixel is and, with a backbone, what that has to tell."""
        place = position_features(frames)
        if backbone is None:
            return place
        return torch.cat([torch.cat(frozen_features(backbone, self.level, frames)).double(), place], dim=1)

    def _probe(self, backbone: nn.Module, labelled: DepthFrames) -> DepthErrors:
        return frozen_probe(backbone, self.level, labelled, self.scored)

    def _draw_for_probe(self, seed: int) -> DepthFrames:
        """The labelled frames of a seed, in the order of the drive.

        Neighbours look alike, and a probe is cross-validated over consecutive parts.
        """
        return self.pool.of(sorted(self._drawn_frames(self.settings.probe_frames, seed)))

    def _drawn_frames(self, count: int, seed: int) -> list[int]:
        """``count`` of the frames that may be labelled, or all if there are fewer."""
        generator = torch.Generator().manual_seed(mix_seeds(seed))
        order = torch.randperm(len(self.split.labelled), generator=generator)[:count]
        return [self.split.labelled[i] for i in order.tolist()]

    def _tuning_frames(self) -> tuple[list[int], list[int]]:
        """Those to train on and those held out while the learning rate is chosen."""
        frames = self.split.labelled
        num_held_out = min(max(len(frames) // 4, 1), 64)
        return frames[:-num_held_out][:self.settings.finetune_frames], frames[-num_held_out:]

    def _needed_frames(self) -> list[int]:
        """All that any seed labels or holds out: of a large set a small part, which fits into memory."""
        most = max(self.settings.probe_frames, self.settings.finetune_frames)
        drawn = [self._drawn_frames(most, seed) for seed in range(self.settings.num_seeds)]
        return sorted(set().union(*drawn, *self._tuning_frames()))

    def _backbone(self, seed: int, checkpoints: list[str] | None) -> nn.Module:
        checkpoint = checkpoints[seed % len(checkpoints)] if checkpoints else None
        return build_backbone(self.cfg, checkpoint, seed)
