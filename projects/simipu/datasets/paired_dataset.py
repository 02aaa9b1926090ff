"""Frames of one point cloud and V images, without labels."""
import os.path as osp
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmdet3d.registry import DATASETS
from mmengine.dataset import BaseDataset
from mmengine.utils import is_abs

from ..errors import ConfigError, DataError
from ..files import parse_json, shown
from ..geometry import MAX_CAMERA_DISTANCE, camera_centre, check_invertible, normalize_depth, to_4x4
from ..seeding import SeededIndex, sample_seed
from .bad_frames import BadFrameCounter
from .readers.fetching import fetch, is_on_disk
from .readers.fields import FLAG, MAPPING, NAME, PATH, PIXELS, TIME, Field, check_fields, is_number, whole
from .readers.safe_pickle import load_pickle

# What a frame of an info file must hold where it holds it.
_FRAME = dict(images=MAPPING, lidar_points=MAPPING, timestamp=TIME, sequence=NAME)
_IMAGE = dict(img_path=PATH, height=PIXELS, width=PIXELS, bit_depth=whole(8, 16), apply_exif=FLAG, timestamp=TIME)
_DTYPE = Field('a NumPy type', lambda dtype: isinstance(dtype, str) and dtype != '')
_SCALE = Field("a positive number or 'tanh'", lambda scale: scale == 'tanh' if isinstance(scale, str) else (
    is_number(scale) and scale > 0))
_CLOUD = dict(lidar_path=PATH, num_pts_feats=whole(3, 10 ** 4), dtype=_DTYPE, intensity_scale=_SCALE)
_REMEDY = 'Write the info file anew with `simipu create-data`, or copy it again'


@DATASETS.register_module()
class PairedDataset(BaseDataset):
    """Reads info files of paired frames; only calibration, paths and sizes, never an annotation.

    Both the info files of ``simipu create-data`` and those of mmdet3d 1.1 and later (KITTI,
    nuScenes, Waymo) are read as they are. Paths in the former are relative to ``data_root``; the
    latter hold bare file names that ``data_prefix`` completes, as in mmdet3d's own configs.

    Each frame enters the pipeline as a dict with, for V cameras:

    - ``cam_names``, ``img_path``: V names and paths.
    - ``img_size``: V pairs (height, width), or None where the info file gives no size.
    - ``lidar2img``: (V, 4, 4) float64, LiDAR point to ``(u * depth, v * depth, depth, 1)``.
    - ``img_format``: V dicts of what the info file says of ``bit_depth`` and ``apply_exif``.
    - ``lidar_path``, and ``lidar_format``: what the info file says of that file's ``load_dim``
      (``num_pts_feats`` there: values per point), ``dtype`` and ``intensity_scale``.
    - ``sample_idx``: index in this data set; a ``SeededIndex`` in training.

    Args:
        ann_file: Info file, absolute or relative to ``data_root``.
        data_root: Folder of the data.
        data_prefix: Folders below ``data_root``: ``pts`` for clouds, ``img`` for images, and camera
            names for images of that camera (``dict(CAM_FRONT='samples/CAM_FRONT', ...)``).
        cameras: Names of the cameras to use, in the order wanted. None: each that has an image, in
            the info file's order.
        backend_args: MMEngine file backend of the info file (local disk if None).
        on_bad_frame: 'error' stops at the first frame whose files are missing, broken or do not fit
            the info file. 'skip' counts such a frame, logs the first ten, and takes another frame
            in its place, the same one whenever the same sample is asked for. Only DataErrors of
            the pipeline are skipped; an info file that lacks a field is always an error.
        max_bad_share: With 'skip': stop when more than this share of the frames read so far was
            bad (and ten were). Every process, each worker of a data loader too, counts its own, in
            ``bad_frames``.
        kwargs: Further arguments of ``mmengine.dataset.BaseDataset``.

    Raises:
        DataError: ``data_root``, ``ann_file``, a camera or a field is missing; from
            ``__getitem__``, a bad frame, or too many of them.
    """

    def __init__(self,
                 ann_file: str,
                 data_root: str = '',
                 data_prefix: dict | None = None,
                 cameras: Sequence[str] | None = None,
                 backend_args: dict | None = None,
                 on_bad_frame: str = 'error',
                 max_bad_share: float = 0.01,
                 **kwargs) -> None:
        if on_bad_frame not in ('error', 'skip'):
            raise ConfigError("PairedDataset: on_bad_frame must be 'error' or 'skip', not "
                              f'{on_bad_frame!r}')
        self.cameras = cameras
        self.backend_args = backend_args
        self.on_bad_frame = on_bad_frame
        self.bad_frames = BadFrameCounter(max_bad_share, ann_file)
        prefix = {'img': '', 'pts': '', **(data_prefix or {})}
        super().__init__(ann_file=ann_file, data_root=data_root, data_prefix=prefix, **kwargs)

    def _join_prefix(self) -> None:
        """As BaseDataset does it, but for the paths of every backend."""
        self.ann_file = _join(self.data_root, self.ann_file)
        self.data_prefix = {key: _join(self.data_root, prefix)
                            for key, prefix in self.data_prefix.items()}

    def load_data_list(self) -> list[dict]:
        """Read the info file, and of each frame what pre-training needs."""
        infos = self.read_info_file()
        for key, value in (infos.get('metainfo') or {}).items():
            self._metainfo.setdefault(key, value)
        return [self.parse_data_info(info) for info in infos['data_list']]

    def parse_data_info(self, raw_data_info: dict) -> dict:
        """Turn one frame of the info file into what the pipeline starts from (see the class)."""
        check_fields(raw_data_info, _FRAME, f'a frame of {self.ann_file}', _REMEDY)
        frame = f'frame {shown(raw_data_info.get("sample_idx"), 60)} of {self.ann_file}'
        images = self._select_cameras(raw_data_info.get('images') or {}, frame)
        lidar = raw_data_info.get('lidar_points') or {}
        if lidar.get('lidar_path') is None:
            raise DataError(f'{frame}: no lidar_points.lidar_path; expected the path of its point '
                            'cloud. Write the info file anew with `simipu create-data`')
        check_fields(lidar, _CLOUD, f'{frame}: lidar_points', _REMEDY)
        for name, image in images.items():
            check_fields(image, _IMAGE, f'{frame}: images.{name}', _REMEDY)
        return dict(
            cam_names=list(images),
            img_path=[self._image_path(name, image) for name, image in images.items()],
            img_size=[_image_size(image) for image in images.values()],
            img_format=[_stated(image, 'bit_depth', 'apply_exif') for image in images.values()],
            lidar2img=np.stack([_lidar2img(image, f'{frame}, camera {name}')
                                for name, image in images.items()]),
            lidar_path=_join(self.data_prefix['pts'], lidar['lidar_path']),
            lidar_format=_stated(dict(lidar, load_dim=lidar.get('num_pts_feats')),
                                 'load_dim', 'dtype', 'intensity_scale'))

    def __getitem__(self, idx: int) -> dict:
        """The frame after the pipeline, whose random numbers follow the seed ``idx`` may carry."""
        with sample_seed(idx):
            if self.on_bad_frame == 'skip':
                return self._first_good_frame(idx)
            return super().__getitem__(idx)

    def prepare_data(self, idx: int) -> dict:
        """The frame after the pipeline; a DataError names it."""
        try:
            return super().prepare_data(idx)
        except DataError as error:
            raise DataError(f'frame {int(idx)} of {self.ann_file}: {error}') from error

    def _first_good_frame(self, idx: int) -> dict:
        """Frame ``idx``, or if it is bad a random one that follows from ``idx`` and its seed."""
        substitutes = np.random.default_rng([idx % len(self), getattr(idx, 'seed', 0)])
        while True:
            try:
                frame = super().__getitem__(idx)
            except DataError as error:
                self.bad_frames.add_bad(int(idx), error)
                substitute = int(substitutes.integers(len(self)))
                idx = idx.at(substitute) if isinstance(idx, SeededIndex) else substitute
            else:
                self.bad_frames.add_good()
                return frame

    def read_info_file(self) -> dict:
        """The info file as it is: a dict with a non-empty ``data_list``."""
        on_disk = is_on_disk(self.ann_file, self.backend_args)
        if on_disk and self.data_root and not osp.isdir(self.data_root):
            raise DataError(f'data_root {self.data_root} is not a folder; put the data there, or '
                            'set data_root in the config to where it is')
        if on_disk and not osp.lexists(self.ann_file):
            advice = ('; if it is the one for validation, let `simipu create-data jsonl --val-share 0.1` keep some of '
                      'your frames for it, or train with --no-val' if self.test_mode else '')
            raise DataError(f'no info file {self.ann_file}; write it with `simipu create-data`, or '
                            f'set ann_file in the config to where it is{advice}')
        infos = self._parse_info_file(fetch(self.ann_file, self.backend_args, 'the info file; write it with `simipu '
                                            'create-data`, or set ann_file in the config to where it is'))
        if not isinstance(infos, dict) or not isinstance(infos.get('data_list'), (list, tuple)) or (
                len(infos['data_list']) == 0):
            raise DataError(f'{self.ann_file}: expected a dict with a non-empty data_list (mmdet3d '
                            '1.1 or later); older info files need mmdet3d\'s '
                            'tools/dataset_converters/update_infos_to_v2.py')
        check_fields(infos, dict(metainfo=MAPPING), self.ann_file, _REMEDY)
        return infos

    def _parse_info_file(self, content: bytes) -> Any:
        suffix = osp.splitext(self.ann_file)[1]
        if suffix in ('.pkl', '.pickle'):
            return load_pickle(content, self.ann_file)
        if suffix == '.json':
            return parse_json(content, self.ann_file)
        raise DataError(f'{self.ann_file}: expected an info file named .pkl or .json; write it with '
                        '`simipu create-data`, or correct ann_file in the config')

    def _select_cameras(self, images: dict, frame: str) -> dict:
        # mmdet3d's KITTI info files have the matrix R0_rect among the images, and cameras without image.
        wrong = [name for name, image in images.items()
                 if not isinstance(name, str) or not isinstance(image, dict) and name != 'R0_rect']
        if wrong:
            raise DataError(f'{frame}: images.{shown(wrong[0], 60)}: expected a dict for each camera, found '
                            f'{shown(images[wrong[0]], 80)}. {_REMEDY}')
        with_image = {name: image for name, image in images.items()
                      if isinstance(image, dict) and image.get('img_path') is not None}
        if self.cameras is None and with_image:
            return with_image
        missing = [name for name in self.cameras or ['any camera'] if name not in with_image]
        if missing:
            raise DataError(f'{frame}: no image of {", ".join(missing)}; cameras with an image: '
                            f'{", ".join(with_image) or "none"}. Set `cameras` in the config to '
                            'some of them')
        return {name: with_image[name] for name in self.cameras}

    def _image_path(self, camera: str, image: dict) -> str:
        return _join(self.data_prefix.get(camera, self.data_prefix['img']), image['img_path'])


def _join(folder: str, path: str) -> str:
    """``mmengine.fileio.join_path`` is lacking in its HTTP backend (mmengine 0.10)."""
    return path if is_abs(path) else osp.join(folder, path)


def _image_size(image: dict) -> tuple | None:
    """(height, width), or None: mmdet3d's nuScenes info files lack it."""
    size = image.get('height'), image.get('width')
    return None if None in size else size


def _stated(entry: dict, *keys: str) -> dict:
    return {key: entry[key] for key in keys if entry.get(key) is not None}


def _lidar2img(image: dict, where: str) -> np.ndarray:
    """``lidar2img``, else ``cam2img @ lidar2cam`` (mmdet3d's nuScenes); of the scale that gives metres."""
    try:
        matrices = {name: to_4x4(image[name], name) for name in ('lidar2img', 'cam2img', 'lidar2cam') if name in image}
        for name, matrix in matrices.items():
            check_invertible(matrix, name)
        if 'lidar2img' in matrices:
            matrix = matrices['lidar2img']
        elif len(matrices) == 2:
            matrix = matrices['cam2img'] @ matrices['lidar2cam']
        else:
            raise DataError(f'expected lidar2img, or cam2img and lidar2cam; found {shown(", ".join(map(str, image)))}')
        check_invertible(matrix[:3, :3], 'lidar2img')
        if not np.allclose(matrix[3, :3], 0) or matrix[3, 3] <= 0:  # known up to a factor, it ends in another number
            raise DataError(f'the last row of lidar2img is {matrix[3].tolist()}, expected 0 0 0 1; it may be '
                            'transposed')
        matrix = normalize_depth(matrix)
        check_invertible(matrix, 'lidar2img, scaled to give metres,')
    except ValueError as error:
        raise DataError(f'{where}: {error}. Check its calibration, and write the info file anew '
                        'with `simipu create-data`') from None
    distance = np.linalg.norm(camera_centre(matrix))
    if distance > MAX_CAMERA_DISTANCE:
        raise DataError(f'{where}: the camera is {distance:.6g} m from the origin of the cloud. Clouds and calibration '
                        'must be centred about the vehicle; of your own frames in map coordinates, '
                        '`simipu create-data jsonl --clouds-in global` recentres both')
    return matrix
