"""Choose the cameras of a frame."""
from collections.abc import Sequence

import numpy as np
from mmcv.transforms import BaseTransform
from mmdet3d.registry import TRANSFORMS

from ...errors import ConfigError, DataError


def take_cameras(results: dict, chosen: Sequence[int]) -> dict:
    """Leave the cameras of these numbers in a frame that has no images yet."""
    for key in results.keys() & {'cam_names', 'img_path', 'img_size', 'img_format'}:
        results[key] = [results[key][i] for i in chosen]
    results['lidar2img'] = results['lidar2img'][list(chosen)]
    return results


@TRANSFORMS.register_module()
class SampleCameras(BaseTransform):
    """Take some of a frame's cameras at random, which bounds the memory of the image backbone.

    Put it before LoadPairedImages: images that are not wanted are then not even read.

    Required and modified keys: ``cam_names``, ``img_path``, ``img_size``, ``img_format`` and
    ``lidar2img``, which keep their order.

    Args:
        num_cameras: How many.

    Raises:
        DataError: The frame has fewer cameras.
    """

    def __init__(self, num_cameras: int) -> None:
        self.num_cameras = num_cameras

    def transform(self, results: dict) -> dict:
        names = results['cam_names']
        if 'img' in results:
            raise ConfigError('SampleCameras must come before LoadPairedImages in the pipeline')
        if len(names) < self.num_cameras:
            raise DataError(f'{results["lidar_path"]}: SampleCameras wants {self.num_cameras} '
                            f'cameras, but this frame has {len(names)} ({", ".join(names)}); '
                            'lower num_cameras')
        return take_cameras(results, np.sort(np.random.choice(len(names), self.num_cameras, replace=False)))

    def __repr__(self) -> str:
        return f'{type(self).__name__}(num_cameras={self.num_cameras})'
