"""What a check measures in the frames that it opens."""
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from mmcv.transforms import BaseTransform

from ...geometry import Occlusion
from .cloud_checks import CloudFigures
from .pipeline_trace import CameraTrace
from .range_check import SeenPoints


class Pipeline(NamedTuple):
    """Of a data set in a config.

    Its ``place`` there, such as ``train_dataloader.dataset``, its ``transforms``, and of the config's model the
    ``occlusion`` and ``in_channels``, the values of a point that the encoder takes.
    """

    place: str
    transforms: Sequence[BaseTransform]
    occlusion: Occlusion | None = None
    in_channels: int | None = None

    def find(self, kind: type) -> BaseTransform | None:
        """The first transform of a kind."""
        return next((transform for transform in self.transforms if isinstance(transform, kind)), None)


@dataclass
class Image:
    """What was measured in one image.

    Attributes:
        frame: Position of its frame in the info file.
        lidar2img: (4, 4).
        size: Height and width.
        late: Whether it is too far in time from the cloud to be compared with it.
        visible_share: Of the cloud's points.
        seen: These points.
        agreement: See ``calibration_score.agreement``.
    """
    frame: int
    lidar2img: np.ndarray
    size: tuple[int, int]
    late: bool
    visible_share: float
    seen: SeenPoints
    agreement: np.ndarray | None


@dataclass
class Measurements:
    """What was measured in the frames that could be opened.

    Of each cloud by frame, of each image by camera, and what the pipeline left, by camera.
    """

    clouds: dict[int, CloudFigures] = field(default_factory=dict)
    images: dict[str, list[Image]] = field(default_factory=lambda: defaultdict(list))
    traces: dict[str, list[CameraTrace]] = field(default_factory=lambda: defaultdict(list))
