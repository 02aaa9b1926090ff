"""What the pipeline of a config leaves of each frame, camera by camera."""
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from mmcv.transforms import BaseTransform

from ...geometry import Occlusion, project, project_to_cameras, visible
from ..transforms import SampleCameras
from ..transforms.cameras import take_cameras

NUM_STRIPS = 20
"""Upright strips of an image, from left to right, in which points are counted."""


class CameraTrace(NamedTuple):
    """What one camera of one frame has of the cloud in the end.

    Attributes:
        camera: Its name.
        pairs: How many points the augmented image shows: the pairs of the inter-modal contrast.
        strips: (NUM_STRIPS,), how many points each strip of the original image shows.
        features: (N, C), the columns beyond x, y, z of all sampled points.
    """
    camera: str
    pairs: int
    strips: np.ndarray
    features: np.ndarray


def trace_frame(frame: dict, transforms: Sequence[BaseTransform],
                occlusion: Occlusion | None = None) -> Iterator[CameraTrace]:
    """Run a pipeline on a frame and say what it leaves of the cloud in each image.

    Where SampleCameras is in the pipeline, all cameras get their turn, as many at once as it takes.

    Args:
        frame: As ``PairedDataset`` gives it to its pipeline.
        transforms: Of the pipeline, which ends in PackPairedInputs.
        occlusion: The model's.

    Raises:
        DataError: A transform cannot use the frame.
    """
    names = frame['cam_names']
    at_once = len(names)
    for sampler in transforms:
        if isinstance(sampler, SampleCameras):
            at_once = len(sampler(dict(frame))['cam_names'])
    for first in range(0, len(names), at_once):
        # The last ones make up the number with cameras that had their turn.
        start = min(first, len(names) - at_once)
        group = take_cameras(dict(frame), range(start, start + at_once))
        yield from _trace_group(group, transforms, occlusion)[first - start:]


def _trace_group(results: dict, transforms: Sequence[BaseTransform],
                 occlusion: Occlusion | None) -> list[CameraTrace]:
    for transform in transforms:
        if not isinstance(transform, SampleCameras):
            results = transform(results)
    meta, points = results['data_samples'].metainfo, results['inputs']['points']
    coordinates = points[:, :3].double()
    matrices = [torch.as_tensor(np.array(meta[name], dtype=np.float64))[None]
                for name in ('lidar2img', 'img_aug_matrix', 'ori_shape', 'img_shape')]
    _, _, mask = project_to_cameras(coordinates[None], *matrices, cloud=coordinates[None],
                                    occlusion=occlusion)
    pixels, depth = project(coordinates, matrices[0][0])
    shown = visible(pixels, depth, matrices[2][0])
    return [CameraTrace(name, int(paired.sum()), count_in_strips(own[seen, 0].numpy(), size[1]),
                        points[:, 3:].numpy())
            for name, paired, own, seen, size in
            zip(meta['cam_names'], mask[0], pixels, shown, meta['ori_shape'])]


def strip_of(columns: np.ndarray, width: int) -> np.ndarray:
    """(N,) number of the strip that each pixel's column (N,) of an image of this width lies in."""
    return ((columns + 0.5) * NUM_STRIPS / width).astype(int).clip(0, NUM_STRIPS - 1)


def count_in_strips(columns: np.ndarray, width: int) -> np.ndarray:
    """(NUM_STRIPS,) how many pixels, given by their columns (N,), lie in each strip."""
    return np.bincount(strip_of(columns, width), minlength=NUM_STRIPS)


def describe_strips(strips: np.ndarray) -> str:
    """The part of an image that strips (K,) make up, such as ``the left half``."""
    first, last = strips.min(), strips.max() + 1
    share = (last - first) / NUM_STRIPS
    if share == 1:
        return 'the whole image' if len(strips) == NUM_STRIPS else 'parts from the left to the right edge'
    size = 'half' if 0.4 <= share <= 0.6 else f'{share:.0%}'
    if first == 0:
        return f'the left {size}'
    if last == NUM_STRIPS:
        return f'the right {size}'
    return f'the part from {first / NUM_STRIPS:.0%} to {last / NUM_STRIPS:.0%} of the width'
