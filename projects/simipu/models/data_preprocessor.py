"""Stack frames of clouds and images into batches on the model's device."""
from collections.abc import Sequence

import torch
from mmdet3d.registry import MODELS
from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from ..errors import ConfigError


@MODELS.register_module()
class PairedDataPreprocessor(BaseDataPreprocessor):
    """Normalise and pad the images, and stack images and clouds.

    Args:
        mean: Of the three channels, in the order after ``bgr_to_rgb``.
        std: Their deviations.
        bgr_to_rgb: Swap the channels of the loaded BGR images.
        pad_size_divisor: Images are padded (zeros, after normalising; right and bottom only, so
            that pixel coordinates stay) to the largest of the batch, rounded up to a multiple of
            this.
    """

    def __init__(self,
                 mean: Sequence[float] = (123.675, 116.28, 103.53),
                 std: Sequence[float] = (58.395, 57.12, 57.375),
                 bgr_to_rgb: bool = True,
                 pad_size_divisor: int = 32) -> None:
        super().__init__(non_blocking=True)
        self.bgr_to_rgb = bgr_to_rgb
        self.pad_size_divisor = pad_size_divisor
        self.register_buffer('mean', torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer('std', torch.tensor(std).view(3, 1, 1), persistent=False)

    def forward(self, data: dict, training: bool = False) -> dict:
        """Build the batch of B frames with V cameras.

        Args:
            data: As ``collate_paired_frames`` leaves the frames of ``PackPairedInputs``:
                ``inputs`` with ``points`` (and ``points_aug``, ``surroundings``, ``occupancy``), B tensors (N, C), and
                ``img``, V sequences of B tensors (3, H, W); ``data_samples``, B of them.
            training: Not used; augmentation is the pipeline's.

        Returns:
            ``dict(inputs, data_samples)`` with inputs ``points`` (B, N, C), ``points_aug`` (B, N,
            C), ``surroundings`` (B, K, 3), ``occupancy`` (B, K, S * 26) and ``imgs`` (B, V, 3, H, W) float.

        Raises:
            ConfigError: The frames differ in their numbers of points or columns.
        """
        data = self.cast_data(data)
        inputs, samples = data['inputs'], data['data_samples']
        batch = {key: _stack_points(inputs[key], key, samples)
                 for key in ('points', 'points_aug', 'surroundings', 'occupancy') if key in inputs}
        batch['imgs'] = self._stack_images(inputs['img'])
        return dict(inputs=batch, data_samples=samples)

    def _stack_images(self, cameras: list[Sequence[Tensor]]) -> Tensor:
        height = self._padded(max(image.shape[1] for images in cameras for image in images))
        width = self._padded(max(image.shape[2] for images in cameras for image in images))
        stacked = self.mean.new_zeros(len(cameras[0]), len(cameras), 3, height, width)
        for v, images in enumerate(cameras):
            for b, image in enumerate(images):
                image = image.flip(0) if self.bgr_to_rgb else image
                stacked[b, v, :, :image.shape[1], :image.shape[2]] = (image - self.mean) / self.std
        return stacked

    def _padded(self, length: int) -> int:
        return -(-length // self.pad_size_divisor) * self.pad_size_divisor


def _stack_points(clouds: Sequence[Tensor], name: str, samples: list) -> Tensor:
    if len({cloud.shape for cloud in clouds}) > 1:
        found = '; '.join(f'{tuple(cloud.shape)} from {sample.lidar_path}'
                          for cloud, sample in zip(clouds, samples))
        raise ConfigError(f'all clouds of a batch must have the same shape, but {name} are {found}. '
                          'Add SamplePoints(num_points=...) to the pipeline of every data set, and '
                          'use the same use_dim in all of them')
    return torch.stack(list(clouds))
