"""Load the cloud and the images of a frame, and refuse what is broken."""
from collections.abc import Sequence

import mmcv
import numpy as np
from mmcv.transforms import BaseTransform
from mmdet3d.datasets.transforms import LoadPointsFromFile
from mmdet3d.registry import TRANSFORMS
from mmengine.fileio import get

from ...errors import DataError


def _read(path: str, backend_args: dict | None) -> bytes:
    try:
        return get(path, backend_args=backend_args)
    except (FileNotFoundError, IsADirectoryError):
        raise DataError(f'no file {path}, which the info file names; check data_root and '
                        'data_prefix in the config, or write the info file anew') from None
    except OSError as error:
        raise DataError(f'{path} cannot be read ({error}); check the disk or the connection, or '
                        'copy the file again') from error


@TRANSFORMS.register_module()
class LoadPairedPoints(LoadPointsFromFile):
    """Load the point cloud of a frame (float32 binary file) as LiDAR points.

    Required keys: ``lidar_path``, ``num_pts_feats`` (optional). Added key: ``points``.

    Args:
        load_dim: Values per point in the file (KITTI 4, nuScenes 5, Waymo 6).
        use_dim: Which of them to use; the first three are x, y, z in metres.
        norm_intensity, norm_elongation, backend_args: See :class:`LoadPointsFromFile`.

    Raises:
        DataError: The file is missing, empty, truncated, holds NaN or infinity, or another number
            of values per point than ``load_dim``.
    """

    def __init__(self,
                 load_dim: int = 4,
                 use_dim: int | Sequence[int] = 4,
                 norm_intensity: bool = False,
                 norm_elongation: bool = False,
                 backend_args: dict | None = None) -> None:
        super().__init__(coord_type='LIDAR', load_dim=load_dim, use_dim=use_dim,
                         norm_intensity=norm_intensity, norm_elongation=norm_elongation,
                         backend_args=backend_args)

    def transform(self, results: dict) -> dict:
        path, num_feats = results['lidar_path'], results.get('num_pts_feats')
        if num_feats not in (None, self.load_dim):
            raise DataError(f'{path}: the info file says {num_feats} values per point, but the '
                            f'config\'s LoadPairedPoints has load_dim={self.load_dim}; set '
                            f'load_dim={num_feats}')
        loaded = super().transform(dict(lidar_points=dict(lidar_path=path)))
        results['points'] = loaded['points']
        return results

    def _load_points(self, pts_filename: str) -> np.ndarray:
        content = _read(pts_filename, self.backend_args)
        point_size = 4 * self.load_dim
        if not content or len(content) % point_size:
            raise DataError(
                f'{pts_filename}: {len(content)} bytes; expected a positive multiple of '
                f'{point_size} ({self.load_dim} float32 values a point). The file is empty or '
                'truncated, or load_dim is wrong; copy the file again, or correct load_dim in the '
                'config')
        points = np.frombuffer(content, dtype=np.float32).reshape(-1, self.load_dim)
        num_bad = np.count_nonzero(~np.isfinite(points).all(axis=1))
        if num_bad:
            raise DataError(f'{pts_filename}: {num_bad} of {len(points)} points hold NaN or '
                            'infinity; expected finite values. Remove these points from the file')
        return points


@TRANSFORMS.register_module()
class LoadPairedImages(BaseTransform):
    """Load the V images of a frame.

    Required keys: ``img_path``, ``img_size`` (optional). Added keys: ``img`` (V arrays (H, W, 3),
    BGR, uint8), ``ori_shape`` and ``img_shape`` (V pairs (H, W)), ``img_aug_matrix`` (V
    identities).

    Args:
        imdecode_backend: Of :func:`mmcv.imfrombytes`; 'turbojpeg' is faster for JPEG where
            installed.
        backend_args: MMEngine file backend (local disk if None).

    Raises:
        DataError: An image is missing, cannot be decoded, or is not of the info file's size.
    """

    def __init__(self, imdecode_backend: str = 'cv2', backend_args: dict | None = None) -> None:
        self.imdecode_backend = imdecode_backend
        self.backend_args = backend_args

    def transform(self, results: dict) -> dict:
        sizes = results.get('img_size') or [None] * len(results['img_path'])
        images = [self._load(path, size) for path, size in zip(results['img_path'], sizes)]
        results['img'] = images
        results['ori_shape'] = [image.shape[:2] for image in images]
        results['img_shape'] = [image.shape[:2] for image in images]
        results['img_aug_matrix'] = np.stack([np.eye(4)] * len(images))
        return results

    def _load(self, path: str, size: tuple | None) -> np.ndarray:
        content = _read(path, self.backend_args)
        image = None
        if content:
            image = mmcv.imfrombytes(content, flag='color', backend=self.imdecode_backend)
        if image is None:
            raise DataError(f'{path}: expected an image, but it cannot be decoded ({len(content)} '
                            'bytes); copy the file again')
        if size is not None and image.shape[:2] != tuple(size):
            (height, width), found = size, image.shape
            raise DataError(f'{path}: the info file says {width} x {height} pixels, the image has '
                            f'{found[1]} x {found[0]}; the calibration would not fit. Write the '
                            'info file anew from the images in use')
        return image

    def __repr__(self) -> str:
        return (f'{type(self).__name__}(imdecode_backend={self.imdecode_backend!r}, '
                f'backend_args={self.backend_args})')
