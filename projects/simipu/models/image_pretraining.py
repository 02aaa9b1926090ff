"""What all models here have in common: an image backbone, and the points of a cloud in its images."""
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from mmdet3d.registry import MODELS
from mmdet3d.structures import Det3DDataSample
from mmengine.model import BaseModel
from torch import Tensor

from ..checkpoints.initialising import checked_initial_weights
from ..errors import ConfigError, DataError
from ..geometry import Occlusion, is_mirrored, project_to_cameras
from ..neighbour_cells import mirror_cells


class ProjectedPoints(NamedTuple):
    """N points of each frame in each of its V cameras.

    ``pixel`` (B, V, N, 2) as (u, v) in the network's input images, ``depth`` (B, V, N) in metres along the
    cameras' axes, both float32; ``visible`` (B, V, N) says where they mean anything.
    """
    pixel: Tensor
    depth: Tensor
    visible: Tensor


class ImagePretraining(BaseModel):
    """Base of the models that train an image backbone by the cloud beside the images.

    Args:
        img_backbone: Any registered image backbone.
        img_neck: Discarded after pre-training.
        img_level: Which of the feature maps that the backbone (or neck) returns is trained, or a list of
            them; validation looks at the last. Let the backbone return no deeper map: its weights would get no
            gradient, for which ``DistributedDataParallel`` raises an error unless the config has
            ``find_unused_parameters=True``.
        depth_head: A head on the feature maps that learns from the depth of all visible points, such as
            ``DepthRegressionHead`` and ``GeometryHead``.
        occlusion: Arguments of ``Occlusion``, such as ``dict(cell=4, window=32)``: points
            that a nearer surface hides from a camera are not visible in it. The depth buffer is
            made of the points that SamplePoints has left, not of the full sweep, so that some hidden
            points are missed. ``None`` takes hidden points for visible.
        channels_last: Give the backbone images whose channels lie side by side in memory. Features are the same up
            to rounding; it is faster for convolutions on GPUs and many processors, and not all backbones take it.
            None: on GPUs only.
        data_preprocessor: See ``PairedDataPreprocessor``.
    """

    def __init__(self,
                 img_backbone: dict,
                 img_neck: dict | None = None,
                 img_level: int | Sequence[int] = -1,
                 depth_head: dict | None = None,
                 occlusion: dict | None = None,
                 channels_last: bool | None = None,
                 data_preprocessor: dict | None = None,
                 init_cfg: dict | None = None) -> None:
        super().__init__(data_preprocessor, init_cfg)
        self.img_backbone = MODELS.build(img_backbone)
        self.img_neck = None if img_neck is None else MODELS.build(img_neck)
        self.img_level = img_level
        self.channels_last = channels_last
        self.depth_head = None if depth_head is None else MODELS.build(depth_head)
        self.occlusion = None if occlusion is None else Occlusion(**occlusion)

    def init_weights(self) -> None:
        """As MMEngine's.

        Raises:
            CheckpointError: The image backbone shall start from a file that is not there, or that holds
                nothing of it.
        """
        with checked_initial_weights(self.img_backbone, 'model.img_backbone'):
            super().init_weights()

    def forward(self,
                inputs: dict[str, Tensor],
                data_samples: Sequence[Det3DDataSample] | None = None,
                mode: str = 'tensor') -> dict | list | Tensor:
        """Run the model in one of MMEngine's modes.

        Args:
            inputs: Of B frames of V cameras: ``imgs`` (B, V, 3, H, W) normalised, and ``points`` (B, N, C), metres
                in LiDAR coordinates, further columns such as intensity.
            data_samples: B of them, with ``lidar2img`` (V, 4, 4), ``img_aug_matrix`` (V, 4, 4), ``ori_shape``
                and ``img_shape`` (V, 2).
            mode: One of those below.

        Returns:
            Losses (``mode='loss'``), data samples with what validation needs (``'predict'``), or
            feature maps (B * V, C, h, w) (``'tensor'``).
        """
        if mode == 'loss':
            return self.loss(inputs, data_samples)
        if mode == 'predict':
            return self.predict(inputs, data_samples)
        if mode == 'tensor':
            return self.extract_image_features(inputs['imgs'])
        raise ConfigError(f"{type(self).__name__}: mode must be 'loss', 'predict' or 'tensor', got {mode!r}")

    def extract_image_features(self, imgs: Tensor) -> Tensor:
        """(B, V, 3, H, W) images -> (B * V, C, h, w) feature maps of the (last) trained level."""
        return self.extract_image_levels(imgs)[-1]

    def extract_image_levels(self, imgs: Tensor) -> list[Tensor]:
        """(B, V, 3, H, W) images -> (B * V, C, h, w) feature maps of each trained level."""
        channels_last = imgs.is_cuda if self.channels_last is None else self.channels_last
        memory_format = torch.channels_last if channels_last else torch.contiguous_format
        features = self.img_backbone(imgs.flatten(0, 1).contiguous(memory_format=memory_format))
        if self.img_neck is not None:
            features = self.img_neck(features)
        levels = [self.img_level] if isinstance(self.img_level, int) else self.img_level
        if not all(-len(features) <= level < len(features) for level in levels):
            raise ConfigError(f'{type(self).__name__}: img_level={self.img_level}, but the backbone (or neck) returns '
                              f'{len(features)} feature maps, numbers 0 to {len(features) - 1}; name one of them, or '
                              'let out_indices of the backbone return more')
        return [features[level] for level in levels]

    def project_points(self, xyz: Tensor, inputs: dict[str, Tensor],
                       data_samples: Sequence[Det3DDataSample]) -> ProjectedPoints:
        """(B, N, 3) points of the frames, in metres in LiDAR coordinates, in all of their cameras."""
        geometry = to_device([stack_metainfo(data_samples, name) for name in
                              ('lidar2img', 'img_aug_matrix', 'ori_shape', 'img_shape')], xyz.device)
        pixel, depth, visible = project_to_cameras(
            xyz.double(), *geometry, cloud=inputs['points'][..., :3], occlusion=self.occlusion)
        return ProjectedPoints(pixel.float(), depth.float(), visible)

    def depth_losses(self, feature_maps: Sequence[Tensor], inputs: dict[str, Tensor],
                     data_samples: Sequence[Det3DDataSample]) -> dict[str, Tensor]:
        """What ``depth_head`` makes of all points of the clouds; nothing where there is none."""
        if self.depth_head is None:
            return {}
        points = self.project_points(inputs['points'][..., :3], inputs, data_samples)
        losses = self.depth_head.loss(feature_maps, *(value.flatten(0, 1) for value in points),
                                      input_shape=inputs['imgs'].shape[-2:], **_described(inputs, data_samples))
        return {f'{key}_depth': value for key, value in losses.items()}


def _described(inputs: dict[str, Tensor], data_samples: Sequence[Det3DDataSample]) -> dict[str, Tensor]:
    """What the pipeline tells of the first points' neighbours, (B * V, K, ...), as each image shows them."""
    views = inputs['imgs'].shape[1]
    described = {key: inputs[key].repeat_interleave(views, dim=0) for key in ('surroundings', 'occupancy')
                 if key in inputs}
    if 'occupancy' in described:
        occupancy = described['occupancy']
        mirrored, = to_device([is_mirrored(stack_metainfo(data_samples, 'img_aug_matrix'))], occupancy.device)
        described['occupancy'] = torch.where(mirrored.view(-1, 1, 1), mirror_cells(occupancy), occupancy)
    return described


def stack_metainfo(data_samples: Sequence[Det3DDataSample], name: str) -> np.ndarray:
    """The field of all frames as one array in double precision."""
    missing = [index for index, sample in enumerate(data_samples) if name not in sample.metainfo]
    if missing:
        raise DataError(f'the model needs {name} in the data samples, but frame {missing[0]} of the batch '
                        'has none; end the pipeline with PackPairedInputs')
    return np.stack([np.asarray(sample.metainfo[name], dtype=np.float64) for sample in data_samples])


def to_device(arrays: Sequence[np.ndarray], device: torch.device) -> list[Tensor]:
    """Small arrays of one type as tensors, in one copy from pinned memory, for which the host does not wait."""
    joined = torch.from_numpy(np.concatenate([array.ravel() for array in arrays]))
    if device.type == 'cuda':
        joined = joined.pin_memory()
    parts = joined.to(device, non_blocking=True).split([array.size for array in arrays])
    return [part.view(array.shape) for part, array in zip(parts, arrays)]
