"""Load the cloud and the images of a frame, with an error for files that are broken."""
import logging
from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from mmdet3d.registry import TRANSFORMS
from mmdet3d.structures import LiDARPoints
from mmengine.logging import print_log
from torch.utils.data import get_worker_info

from ...errors import ConfigError, DataError
from ..readers import CloudLayout, decode_image, drop_no_returns, read_cloud, read_image_header
from ..readers.fetching import fetch
from ..readers.fields import is_number

INTENSITY = 3  # column


def _read(path: str, backend_args: dict | None) -> bytes:
    return fetch(path, backend_args, 'which the info file names; check data_root and data_prefix in the config, or '
                 'write the info file anew')


def _agreed(option: str, value: Any, path: str, stated: dict) -> Any:
    """The value of an option that the info file may state too; None if neither does."""
    found = stated.get(option)
    if None not in (value, found) and value != found:
        loader = 'load_images' if option in ('bit_depth', 'apply_exif') else 'load_points'
        raise DataError(f'{path}: the info file says {option}={found!r}, but the config has {value!r}; take {option} '
                        f'out of the config, or set {loader}.{option}={found!r}')
    return found if value is None else value


class _Loader(BaseTransform):
    """A transform that says once, in one process, what it does with all files of a kind."""

    _said = False

    def _say_once(self, message: str) -> None:
        worker = get_worker_info()
        if not self._said and (worker is None or worker.id == 0):
            print_log(message, logger='current', level=logging.WARNING)
        self._said = True


@TRANSFORMS.register_module()
class LoadPairedPoints(_Loader):
    """Load the point cloud of a frame as LiDAR points; see ``simipu.datasets.readers.read_cloud``.

    Points without return (NaN, or x = y = z = 0) are left out; their number is logged once.

    Required keys: ``lidar_path``, ``lidar_format`` (optional: what the info file says of ``load_dim``, ``dtype`` and
    ``intensity_scale``). Added keys: ``points``, ``num_no_returns``.

    Args:
        load_dim: Values per point (KITTI 4, nuScenes 5, Waymo 6) where the info file does not say it; None: 4.
        use_dim: Which of them to use, the first three being x, y, z in metres. A number takes as many, or all where
            the file has fewer: with clouds of x, y, z only, ``in_channels`` of the point encoder is 3.
        dtype: NumPy type of the numbers in files that do not say it (``.bin``); None: float32.
        intensity_scale: What brings the fourth value into 0..1: a number to divide by (255 for nuScenes), or 'tanh'
            (for Waymo, whose intensities have no upper bound). None: it is in 0..1.
        backend_args: MMEngine file backend (local disk if None).

    Raises:
        DataError: The file is missing, empty, damaged, or not what the info file and these options say; or no point
            is left.
    """

    def __init__(self,
                 load_dim: int | None = None,
                 use_dim: int | Sequence[int] = 4,
                 dtype: str | None = None,
                 intensity_scale: float | str | None = None,
                 backend_args: dict | None = None) -> None:
        self.load_dim = load_dim
        self.use_dim = list(range(use_dim)) if isinstance(use_dim, int) else list(use_dim)
        self.takes_all = isinstance(use_dim, int)
        self.dtype = dtype
        self.intensity_scale = intensity_scale
        self.backend_args = backend_args

    def transform(self, results: dict) -> dict:
        path, stated = results['lidar_path'], results.get('lidar_format', {})
        layout = CloudLayout(_agreed('load_dim', self.load_dim, path, stated),
                             _agreed('dtype', self.dtype, path, stated) or 'float32')
        points = read_cloud(path, _read(path, self.backend_args), layout, self.use_dim)
        points, results['num_no_returns'] = self._drop_no_returns(path, self._choose(path, points))
        scale = _agreed('intensity_scale', self.intensity_scale, path, stated)
        if scale is not None and INTENSITY in self.use_dim[:points.shape[1]]:
            intensity = points[:, self.use_dim.index(INTENSITY)]
            _scale(intensity, scale)
            if not np.isfinite(intensity).all():
                raise DataError(f'{path}: intensity_scale={scale!r} makes its intensities infinite; expected what '
                                'brings them into 0..1. Correct it where it is set, in the info file or the config')
        results['points'] = LiDARPoints(points, points_dim=points.shape[1])
        return results

    def _choose(self, path: str, points: np.ndarray) -> np.ndarray:
        width = points.shape[1]
        if self.takes_all:
            return np.array(points[:, :len(self.use_dim)])
        if max(self.use_dim) >= width:
            raise DataError(f'{path}: {width} values per point, but use_dim={self.use_dim} wants value '
                            f'{max(self.use_dim)}, counted from 0; correct use_dim of LoadPairedPoints')
        return points[:, self.use_dim]

    def _drop_no_returns(self, path: str, points: np.ndarray) -> tuple[np.ndarray, int]:
        total = len(points)
        points, count = drop_no_returns(points)
        if len(points) == 0:
            raise DataError(f'{path}: all of its {total} points hold NaN or are zero; expected coordinates. Copy the '
                            'file again, or take the frame off the list')
        if count:
            self._say_once(f'{path}: {count} of {total} points hold NaN or infinity or are zero (beams without return) '
                           'and are left out; so are those of other frames')
        return points, count

    def __repr__(self) -> str:
        return (f'{type(self).__name__}(load_dim={self.load_dim}, use_dim={self.use_dim}, dtype={self.dtype!r}, '
                f'intensity_scale={self.intensity_scale!r}, backend_args={self.backend_args})')


def _scale(intensity: np.ndarray, scale: float | str) -> None:
    """Bring intensities into 0..1, in place."""
    if scale == 'tanh':
        np.tanh(intensity, out=intensity)
    elif is_number(scale) and scale > 0:
        with np.errstate(over='ignore'):  # which the caller looks for
            intensity /= scale
    else:
        raise ConfigError(f"intensity_scale must be a positive number or 'tanh', not {scale!r}")


@TRANSFORMS.register_module()
class LoadPairedImages(_Loader):
    """Load the V images of a frame; see ``simipu.datasets.readers.decode_image``.

    Required keys: ``img_path``, ``img_size`` (optional), ``img_format`` (optional: of each image, what the info file
    says of ``bit_depth`` and ``apply_exif``). Added keys: ``img`` (V arrays (H, W, 3), BGR, uint8), ``ori_shape`` and
    ``img_shape`` (V pairs (H, W)), ``img_aug_matrix`` (V identities).

    Args:
        bit_depth: Of images that store 16 bits: how many are in use (12 for most cameras). None: such images are
            refused where the info file does not say it.
        apply_exif: Whether images are turned as their EXIF orientation says; None: as the info file says, else not,
            since cameras are calibrated with the pixels as they are stored.
        imdecode_backend: Decoder of JPEG, 'cv2' or 'turbojpeg', which is faster where installed.
        backend_args: MMEngine file backend (local disk if None).

    Raises:
        DataError: An image is missing, damaged, not of the info file's size, or has more than 8 bits, see
            ``bit_depth``.
    """

    def __init__(self,
                 bit_depth: int | None = None,
                 apply_exif: bool | None = None,
                 imdecode_backend: str = 'cv2',
                 backend_args: dict | None = None) -> None:
        self.bit_depth = bit_depth
        self.apply_exif = apply_exif
        self.imdecode_backend = imdecode_backend
        self.backend_args = backend_args

    def transform(self, results: dict) -> dict:
        paths = results['img_path']
        sizes = results.get('img_size') or [None] * len(paths)
        formats = results.get('img_format') or [{}] * len(paths)
        images = [self._load(*image) for image in zip(paths, sizes, formats, strict=True)]
        results['img'] = images
        results['ori_shape'] = [image.shape[:2] for image in images]
        results['img_shape'] = [image.shape[:2] for image in images]
        results['img_aug_matrix'] = np.stack([np.eye(4)] * len(images))
        return results

    def _load(self, path: str, size: tuple | None, stated: dict) -> np.ndarray:
        content = _read(path, self.backend_args)
        header = read_image_header(path, BytesIO(content))
        apply_exif = bool(_agreed('apply_exif', self.apply_exif, path, stated))
        if header.orientation != 1 and not apply_exif:
            self._say_once(f'{path}: EXIF says that the image is to be turned (orientation {header.orientation}), but '
                           'pixels are used as stored, for which cameras are calibrated as a rule; so are those of '
                           'other images. --cfg-options load_images.apply_exif=True turns them')
        return decode_image(path, content, header, size, _agreed('bit_depth', self.bit_depth, path, stated),
                            apply_exif, self.imdecode_backend)

    def __repr__(self) -> str:
        return (f'{type(self).__name__}(bit_depth={self.bit_depth}, apply_exif={self.apply_exif}, '
                f'imdecode_backend={self.imdecode_backend!r}, backend_args={self.backend_args})')
