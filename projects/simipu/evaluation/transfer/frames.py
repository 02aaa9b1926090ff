"""Images labelled with depth by the LiDAR beside the camera, kept in memory."""
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from mmdet3d.registry import MODELS
from mmdet3d.structures import Det3DDataSample
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.device import get_device
from torch import Tensor, nn

from ...building import build_split, registry_scope
from ...errors import DataError
from ...geometry import project_to_cameras
from ...seeding import SeededIndex, mix_seeds
from .targets import ProbeTarget


class DepthImage(NamedTuple):
    """One image and its K labelled pixels.

    ``image`` (3, H, W) uint8 in the order of channels that the pipeline leaves (BGR); ``pixels`` (K, 2)
    as (u, v) in this image, float64; ``depth`` (K,) in metres along the camera's axis; ``frame`` the
    number of the frame it belongs to, which several cameras share; ``values`` (K, T) of a ``ProbeTarget``, if there
    is one.
    """
    image: Tensor
    pixels: Tensor
    depth: Tensor
    frame: int
    values: Tensor | None = None

    def flipped(self) -> 'DepthImage':
        """The mirror image, left-right."""
        pixels = self.pixels.clone()
        pixels[:, 0] = self.image.shape[2] - 1 - pixels[:, 0]
        return self._replace(image=self.image.flip(2), pixels=pixels)


class DepthFrames:
    """Labelled images of some frames, and what normalises and pads them for a backbone.

    Args:
        images: One for each camera of each frame.
        preprocessor: ``PairedDataPreprocessor``, on the backbones' device.
    """

    def __init__(self, images: Sequence[DepthImage], preprocessor: nn.Module) -> None:
        self.images = list(images)
        self.preprocessor = preprocessor

    def __len__(self) -> int:
        return len(self.images)

    def __iter__(self) -> Iterator[DepthImage]:
        return iter(self.images)

    @property
    def depth(self) -> Tensor:
        """(K,) depths of all images, in their order."""
        return torch.cat([item.depth for item in self.images])

    @property
    def values(self) -> Tensor:
        """(K, T) of the target that the frames were loaded with."""
        return torch.cat([item.values for item in self.images])

    def of(self, frames: Sequence[int]) -> 'DepthFrames':
        """The images of these frames, in the order of ``frames``."""
        by_frame: dict[int, list] = {}
        for item in self.images:
            by_frame.setdefault(item.frame, []).append(item)
        return DepthFrames([item for frame in frames for item in by_frame[frame]], self.preprocessor)

    def normalised(self, images: Sequence[DepthImage]) -> Tensor:
        """(B, 3, H, W) float input of a backbone; padding is right and bottom, so pixels stay."""
        samples = [Det3DDataSample(metainfo=dict(cam_names=['CAM'])) for _ in images]
        data = dict(inputs=dict(img=[[item.image for item in images]]), data_samples=samples)
        return self.preprocessor(data)['inputs']['imgs'][:, 0]


def load_depth_frames(cfg: Config,
                      frames: Sequence[int] | None = None,
                      depth_range: tuple[float, float] = (1.0, 60.0),
                      rows_per_image: int = 256,
                      target: ProbeTarget | None = None) -> DepthFrames:
    """Load frames of a config's validation set; no annotation is read.

    Each frame is loaded once, with the points and the image size of the validation pipeline; points that
    the pipeline samples at random are the same in every call.

    Args:
        cfg: Any config with a ``PairedDataset`` for validation.
        frames: Their indices in that set; all by default.
        depth_range: Metres; points outside are left out.
        rows_per_image: At most so many points of an image, evenly spread over the sampled ones.
        target: What to label the points with besides.

    Raises:
        DataError: A frame cannot be read, comes twice (``on_bad_frame='skip'`` replaces bad ones by
            others, which could be scored as well as labelled), or no point is within the range.
    """
    dataset = build_split(cfg, 'val')
    with registry_scope(cfg):
        preprocessor = MODELS.build(cfg.model.data_preprocessor).to(get_device())
    frames = range(len(dataset)) if frames is None else frames
    images, clouds = [], {}
    for frame in frames:
        inputs, sample = _load(dataset, frame)
        other = clouds.setdefault(sample.lidar_path, frame)
        if other != frame:
            raise DataError(f'{sample.lidar_path}: loaded for frame {other} and for frame {frame}; '
                            'expected a cloud of its own for each. '
                            "Set on_bad_frame='error' in val_dataloader.dataset")
        images += _label(inputs, sample, frame, depth_range, rows_per_image, target)
    if not any(len(item.depth) for item in images):
        raise DataError(f'{len(images)} images, but no LiDAR point at {depth_range[0]:g} to '
                        f'{depth_range[1]:g} m in any of them; check the calibration')
    return DepthFrames(images, preprocessor)


def _load(dataset: BaseDataset, frame: int) -> tuple[dict, Det3DDataSample]:
    item = dataset[SeededIndex(frame, mix_seeds(frame))]
    return item['inputs'], item['data_samples']


def _label(inputs: dict, sample: Det3DDataSample, frame: int, depth_range: tuple[float, float],
           rows_per_image: int, target: ProbeTarget | None) -> list[DepthImage]:
    geometry = [torch.from_numpy(np.asarray(sample.metainfo[name], dtype=np.float64))[None]
                for name in ('lidar2img', 'img_aug_matrix', 'ori_shape', 'img_shape')]
    pixels, depth, visible = project_to_cameras(inputs['points'][None, :, :3].double(), *geometry)
    labelled = visible & (depth >= depth_range[0]) & (depth <= depth_range[1])
    images = []
    for camera, image in enumerate(inputs['img']):
        rows = labelled[0, camera].nonzero()[:, 0]
        kept = torch.linspace(0, max(len(rows) - 1, 0), min(len(rows), rows_per_image)).round().long()
        rows = rows[kept]
        values = None if target is None else torch.from_numpy(
            target.label(inputs['points'][:, :3].double().numpy(), rows.numpy(), sample.lidar_path))
        images.append(DepthImage(image, pixels[0, camera, rows], depth[0, camera, rows], frame, values))
    return images
