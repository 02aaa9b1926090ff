"""Augment the V images of a frame without breaking the relation of pixels and points.

Each transform changes ``img`` (V arrays (H, W, 3), BGR, uint8) and ``img_shape``, and multiplies
what it did to pixels into ``img_aug_matrix`` (V, 4, 4); nothing else needs to know. Sizes are
(width, height) in arguments, as in mmcv, and (height, width) in ``img_shape``.
"""
from collections.abc import Sequence

import cv2
import mmcv
import numpy as np
from mmcv.transforms import BaseTransform
from mmdet.datasets.transforms import PhotoMetricDistortion
from mmdet3d.registry import TRANSFORMS

from ...errors import ConfigError
from ...geometry import crop_matrix, flip_matrix, image_rotation_matrix, invert_matrix, resize_matrix
from ...seeding import SeededIndex

Size = tuple[int, int]


class _ImageTransform(BaseTransform):
    """Base class: one image at a time, with ``parameters`` drawn once for all images of a frame."""

    def transform(self, results: dict) -> dict:
        parameters = self.draw_parameters(results)
        for i, image in enumerate(results['img']):
            image, matrix = self.transform_image(image, parameters)
            results['img'][i] = image
            results['img_shape'][i] = image.shape[:2]
            results['img_aug_matrix'][i] = matrix @ results['img_aug_matrix'][i]
        return results

    def draw_parameters(self, results: dict):
        """Random parameters that all images of a frame share."""

    def transform_image(self, image: np.ndarray, parameters) -> tuple[np.ndarray, np.ndarray]:
        """The new image, and the (4, 4) matrix from its old pixels to its new ones."""
        raise NotImplementedError

    def __repr__(self) -> str:
        arguments = ', '.join(f'{key}={value!r}' for key, value in vars(self).items())
        return f'{type(self).__name__}({arguments})'


@TRANSFORMS.register_module()
class ResizeImages(_ImageTransform):
    """Resize all images of a frame, with one random scale for all of them.

    In training the frames of a batch share it, in all processes: otherwise two fifths of what the backbone
    sees would be padding to the largest of the batch, and processes would wait for each other.

    Args:
        scale: (width, height), or a pair of them between which a size is drawn uniformly, as in
            ``[(640, 192), (2400, 720)]``.
        keep_ratio: Keep the aspect ratio; the image then is as large as fits into the size.
        share_in_batch: Whether the frames of a batch share their scale; the original draws one for each.
            A frame that is loaded alone, by a plain index, has its own.
    """

    def __init__(self,
                 scale: Size | Sequence[Size],
                 keep_ratio: bool = True,
                 share_in_batch: bool = True) -> None:
        self.scale = np.broadcast_to(scale, (2, 2)).tolist()
        self.keep_ratio = keep_ratio
        self.share_in_batch = share_in_batch

    def draw_parameters(self, results: dict) -> Size:
        index = results.get('sample_idx')
        if self.share_in_batch and isinstance(index, SeededIndex):
            share = np.random.default_rng(index.batch_seed).random()
        else:
            share = np.random.rand()
        smallest, largest = np.array(self.scale)
        width, height = np.rint(smallest + share * (largest - smallest)).astype(int)
        return int(width), int(height)

    def transform_image(self, image: np.ndarray, parameters: Size) -> tuple[np.ndarray, np.ndarray]:
        height, width = image.shape[:2]
        size = mmcv.rescale_size((width, height), _as_scale(parameters, (width, height))) \
            if self.keep_ratio else parameters
        # By the sizes, not by the wanted factor: they are rounded to whole pixels.
        matrix = resize_matrix(size[0] / width, size[1] / height)
        return mmcv.imresize(image, size), matrix


def _as_scale(box: Size, size: Size) -> float:
    """Largest factor at which ``size`` fits into ``box``, both (width, height)."""
    return min(box[0] / size[0], box[1] / size[1])


@TRANSFORMS.register_module()
class CropImages(_ImageTransform):
    """Crop each image; one that is smaller than the crop keeps its extent.

    Args:
        size: (width, height) of the crop.
        mode: 'random' (each image at its own place) or 'center'.
    """

    def __init__(self, size: Size, mode: str = 'random') -> None:
        if mode not in ('random', 'center'):
            raise ConfigError(f"CropImages: mode must be 'random' or 'center', not {mode!r}")
        self.size = size
        self.mode = mode

    def transform_image(self, image: np.ndarray, parameters: None) -> tuple[np.ndarray, np.ndarray]:
        x0, width = self._interval(image.shape[1], self.size[0])
        y0, height = self._interval(image.shape[0], self.size[1])
        return image[y0:y0 + height, x0:x0 + width], crop_matrix(x0, y0)

    def _interval(self, length: int, wanted: int) -> tuple[int, int]:
        """Start and length of the crop along one side."""
        slack = max(length - wanted, 0)
        start = np.random.randint(slack + 1) if self.mode == 'random' else slack // 2
        return start, length - slack


@TRANSFORMS.register_module()
class FlipImages(_ImageTransform):
    """Flip each image left-right, each with its own chance.

    Args:
        prob: Chance of a flip.
    """

    def __init__(self, prob: float = 0.5) -> None:
        self.prob = prob

    def transform_image(self, image: np.ndarray, parameters: None) -> tuple[np.ndarray, np.ndarray]:
        if np.random.rand() >= self.prob:
            return image, np.eye(4)
        return cv2.flip(image, 1), flip_matrix(image.shape[1])  # mmcv.imflip leaves the copying to PackPairedInputs


@TRANSFORMS.register_module()
class RotateImages(_ImageTransform):
    """Rotate each image about its centre by its own random angle; the corners become black.

    Points are visible only inside the original image, so none lies in those corners. For that to
    hold, the whole original image must be here: rotate once, and before CropImages.

    Args:
        max_angle: Largest angle in degrees, either way.
    """

    def __init__(self, max_angle: float) -> None:
        self.max_angle = max_angle

    def transform(self, results: dict) -> dict:
        for args in zip(results['img_aug_matrix'], results['ori_shape'], results['img_shape']):
            _check_not_cropped(*args)
        return super().transform(results)

    def transform_image(self, image: np.ndarray, parameters: None) -> tuple[np.ndarray, np.ndarray]:
        height, width = image.shape[:2]
        angle = np.deg2rad(np.random.uniform(-self.max_angle, self.max_angle))
        matrix = image_rotation_matrix(angle, height, width)
        return cv2.warpAffine(image, matrix[:2, :3], (width, height)), matrix


def _check_not_cropped(img_aug_matrix: np.ndarray, ori_shape: Size, img_shape: Size) -> None:
    """The current image must reach as far as the original, as one resized or flipped does."""
    height, width = img_shape
    corners = np.array([[-0.5, -0.5, 1, 1], [width - 0.5, height - 0.5, 1, 1]])
    corners = corners @ invert_matrix(img_aug_matrix, 'img_aug_matrix').T
    extent = np.abs(corners[1, :2] - corners[0, :2])
    if not np.allclose(extent, ori_shape[::-1], atol=1):
        raise ConfigError('RotateImages needs the whole original image, or points could lie in the '
                          'black corners it makes: put it before CropImages in the pipeline, and '
                          'only once')


@TRANSFORMS.register_module()
class PhotometricDistortImages(_ImageTransform):
    """mmdet's PhotoMetricDistortion of each image.

    It changes brightness, contrast, saturation, hue and the order of channels.

    Args:
        kwargs: Arguments of ``mmdet.datasets.transforms.PhotoMetricDistortion``.
    """

    def __init__(self, **kwargs) -> None:
        self.distortion = PhotoMetricDistortion(**kwargs)

    def transform_image(self, image: np.ndarray, parameters: None) -> tuple[np.ndarray, np.ndarray]:
        distorted = self.distortion.transform(dict(img=image))['img']
        return np.rint(distorted).clip(0, 255).astype(np.uint8), np.eye(4)


@TRANSFORMS.register_module()
class RandomConvolveImages(_ImageTransform):
    """Change the texture of each image and keep its shapes: a random convolution, mixed with the image.

    Xu et al., "Robust and Generalizable Visual Representation Learning via Random Convolutions" (ICLR 2021), equation
    2. Each image draws kernels from one colour to another, of normal numbers and of one of ``kernel_sizes``; the
    result gets the mean and the deviation of the image, and a random share of it is mixed in. A backbone that sees
    such images cannot rely on the textures of the data set that it is pre-trained on.

    Args:
        prob: Chance of each image.
        kernel_sizes: Odd, in pixels.
    """

    def __init__(self, prob: float = 0.5, kernel_sizes: Sequence[int] = (1, 3, 5)) -> None:
        if any(size % 2 == 0 for size in kernel_sizes):
            raise ConfigError(f'RandomConvolveImages: kernel_sizes must be odd, not {tuple(kernel_sizes)}')
        self.prob = prob
        self.kernel_sizes = tuple(kernel_sizes)

    def transform_image(self, image: np.ndarray, parameters: None) -> tuple[np.ndarray, np.ndarray]:
        if np.random.rand() >= self.prob:
            return image, np.eye(4)
        before = image.astype(np.float32)
        size = np.random.choice(self.kernel_sizes)
        kernels = np.random.standard_normal((3, 3, size, size)).astype(np.float32)
        convolved = np.stack([sum(cv2.filter2D(before[..., colour], -1, kernel, borderType=cv2.BORDER_REFLECT_101)
                                  for colour, kernel in enumerate(of_one)) for of_one in kernels], axis=-1)
        convolved = (convolved - convolved.mean()) / max(convolved.std(), 1e-3) * before.std() + before.mean()
        share = np.random.rand()
        mixed = share * convolved + (1 - share) * before
        return np.rint(mixed).clip(0, 255).astype(np.uint8), np.eye(4)
