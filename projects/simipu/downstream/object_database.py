"""mmdet3d's database of objects, with the images that show them."""
import os.path as osp
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np
from mmdet3d.datasets.transforms import DataBaseSampler
from mmdet3d.registry import TRANSFORMS
from mmengine import fileio

from ..compat import numpy_long
from ..datasets.readers import decode_image, read_image_header
from ..datasets.readers.fetching import fetch, is_on_disk
from ..datasets.readers.fields import ITEMS, MAPPING, NUMBER, PATH, check_fields, numbers, whole
from ..datasets.readers.safe_pickle import load_pickle
from ..errors import DataError
from ..files import open_regular, shown
from ..geometry import to_4x4

_OBJECT = dict(path=PATH, image_idx=whole(0, 10 ** 9), gt_idx=whole(0, 10 ** 6), box3d_lidar=numbers(7),
               num_points_in_gt=whole(0, 10 ** 9), difficulty=NUMBER)
_LABEL = dict(bbox=numbers(4), bbox_3d=numbers(7), bbox_label_3d=whole(-1, 10 ** 6))
_CAMERA = dict(img_path=PATH, lidar2cam=numbers(4, 4), lidar2img=numbers(4, 4))
_REMEDY = 'Write the file anew with mmdet3d 1.4\'s create_data.py kitti'


class SourceView(NamedTuple):
    """A database object as its own frame shows it.

    Attributes:
        img_path: The frame's image.
        lidar2img: (4, 4) of the frame.
        bbox: (4,) the labelled 2D box: left, top, right, bottom in pixels of that image.
    """
    img_path: str
    lidar2img: np.ndarray
    bbox: np.ndarray


@TRANSFORMS.register_module()
class DataBaseSamplerWithImages(DataBaseSampler):
    """mmdet3d's sampler of database objects, that knows where their images are.

    Args:
        ann_file: The info file (``kitti_infos_train.pkl``, format v2) of the frames that the database was
            cut from.
        img_prefix: Folder of their images.
        prepare: As in ``DataBaseSampler``.
        max_occlusion: Leaves out objects that are more occluded by their label: 0 fully visible, 1 partly,
            2 largely occluded. The patch of an occluded object shows what stands before it.
        **kwargs: As in ``DataBaseSampler``: ``info_path``, ``data_root``, ``rate``, ``sample_groups``,
            ``classes``, ``points_loader``, ``backend_args``.

    Raises:
        DataError: A file or a class is missing, or info file and database do not belong together.
    """

    def __init__(self, ann_file: str, img_prefix: str, prepare: dict | None = None,
                 max_occlusion: int = 0, **kwargs) -> None:
        prepare = prepare or {}
        self.backend_args, self.info_path = kwargs.get('backend_args'), kwargs.get('info_path')
        self.ann_file, self.img_prefix, self.max_occlusion = ann_file, img_prefix, max_occlusion
        self._check_files()
        # mmdet3d calls the methods that `prepare` names, in its order.
        classes = [*kwargs.get('sample_groups', {}), *prepare.get('filter_by_min_points', {})]
        super().__init__(prepare=dict(_check_classes=classes, **prepare, _add_views=None), **kwargs)
        self._accept, self.accepted = None, []

    def _check_files(self) -> None:
        for path, what in ((self.info_path, 'database of objects'), (self.ann_file, 'info file')):
            if not fileio.exists(str(path), backend_args=self.backend_args):
                raise DataError(f'{path}: no such file; expected the {what} of the training frames; write it '
                                'with mmdet3d\'s create_data.py kitti, see docs/downstream.md')
        # mmdet3d unpickles the database itself, whatever it holds, so that is looked at before.
        objects = self._load(self.info_path)
        if not isinstance(objects, dict) or not all(map(ITEMS.holds, objects.values())):
            raise DataError(f'{self.info_path}: expected a dict with a list of objects for each class. {_REMEDY}')
        for name, infos in objects.items():
            for number, info in enumerate(infos):
                check_fields(info, _OBJECT, f'{self.info_path}: object {number} of {shown(name, 60)}', _REMEDY,
                             required=True)

    def _load(self, path: str) -> Any:
        return load_pickle(fetch(str(path), self.backend_args, 'expected one of mmdet3d\'s create_data.py kitti'), path)

    def _check_classes(self, db_infos: dict[str, list[dict]], classes: list[str]) -> dict[str, list[dict]]:
        for name in classes:
            if name not in db_infos:
                raise DataError(f'{self.info_path}: expected objects of the class {name!r}, found only '
                                f'{", ".join(db_infos)}; check its spelling, or leave it out of '
                                'sample_groups and filter_by_min_points of the db_sampler')
        return db_infos

    def _add_views(self, db_infos: dict[str, list[dict]], _: None) -> dict[str, list[dict]]:
        """Give each database object its ``view``, and leave out those that are too occluded."""
        infos_of_frames = self._load(self.ann_file)
        check_fields(infos_of_frames, dict(data_list=ITEMS), str(self.ann_file), _REMEDY, required=True)
        frames = infos_of_frames['data_list']
        kept = {}
        for name, infos in db_infos.items():
            kept[name] = []
            for info in infos:
                frame, instance = self._label_of(info, frames)
                if (instance.get('occluded') or 0) <= self.max_occlusion:
                    kept[name].append(dict(info, view=self._view(frame, instance)))
        return kept

    def _label_of(self, info: dict, frames: list[dict]) -> tuple[dict, dict]:
        """Frame and label of a database object.

        mmdet3d 1.4 counts: ``image_idx`` is the frame's place in the info file (not its number in KITTI),
        ``gt_idx`` the object's among those of the frame that are not DontCare.
        """
        place = info['image_idx'], info['gt_idx']
        if place[0] < len(frames):
            frame, where = frames[place[0]], f'{self.ann_file}: frame {place[0]}'
            check_fields(frame, dict(images=MAPPING, instances=ITEMS), where, _REMEDY, required=True)
            for instance in frame['instances']:
                check_fields(instance, _LABEL, f'{where}: instances', _REMEDY, required=True)
                check_fields(instance, dict(occluded=NUMBER), f'{where}: instances', _REMEDY)
            instances = labelled(frame['instances'])
            if place[1] < len(instances) and _same_box(info['box3d_lidar'], instances[place[1]],
                                                       self._camera_of(frame, where)['lidar2cam']):
                return frame, instances[place[1]]
        raise DataError(f'{self.ann_file}: expected the object of {info["path"]} ({self.info_path}) as '
                        f'number {place[1]} of frame {place[0]}, both from 0, found another 3D box or none; '
                        'the two files are not of one run: write both anew with mmdet3d 1.4\'s '
                        'create_data.py kitti')

    def _camera_of(self, frame: dict, where: str) -> dict:
        """The entry of the camera that KITTI's 2D boxes are of."""
        camera = frame['images'].get('CAM2', {})
        check_fields(camera, _CAMERA, f'{where}: images.CAM2', _REMEDY, required=True)
        return camera

    def _view(self, frame: dict, instance: dict) -> SourceView:
        camera = frame['images']['CAM2']
        return SourceView(osp.join(self.img_prefix, camera['img_path']),
                          to_4x4(np.asarray(camera['lidar2img']), 'lidar2img'), np.asarray(instance['bbox']))

    def sample_accepted(self, boxes: np.ndarray, labels: np.ndarray,
                        accept: Callable[[dict], bool]) -> tuple[dict | None, list[dict]]:
        """Draw objects that collide neither with ``boxes`` (N, 7) nor each other, and that ``accept`` takes.

        Args:
            labels: Of the frame's own objects, which count towards ``sample_groups``.
            accept: Is shown an entry of the database, after all that were accepted before.

        Returns:
            What ``DataBaseSampler.sample_all`` returns, and the database's entries in the same order.
        """
        self._accept, self.accepted = accept, []
        try:
            with numpy_long():
                return self.sample_all(boxes, labels), self.accepted
        except FileNotFoundError as error:
            raise DataError(f'{error.filename}: no such file; expected the points of an object of '
                            f'{self.info_path}; set data_root of the db_sampler to the folder that holds the '
                            'database, or write it anew with mmdet3d\'s create_data.py kitti') from error
        except (OSError, ValueError) as error:
            if isinstance(error, DataError):
                raise
            paths = ', '.join(info['path'] for info in self.accepted)
            raise DataError(f'{self.info_path}: the points of one of {paths} cannot be read ({error}); set load_dim of '
                            'points_loader to the values of a point in them, or write the database anew with '
                            'mmdet3d\'s create_data.py kitti') from error
        finally:
            self._accept = None

    def sample_class_v2(self, name: str, num: int, gt_bboxes: np.ndarray) -> list[dict]:
        """Of one class: called by ``sample_all``, with all boxes that there are by then."""
        if not self.db_infos[name]:  # mmdet3d's fails then
            return []
        drawn = super().sample_class_v2(name, num, gt_bboxes)
        if self._accept is not None:
            drawn = [info for info in drawn if self._accept(info)]
        for info in drawn:
            self._check_points_file(info)
        self.accepted += drawn
        return drawn

    def _check_points_file(self, info: dict) -> None:
        """mmdet3d would wait for a pipe, and take the points that it finds."""
        path, load_dim = osp.join(self.data_root, info['path']), getattr(self.points_loader, 'load_dim', None)
        if not is_on_disk(path, self.backend_args) or not osp.exists(path) or not load_dim:
            return
        with open_regular(path) as file:
            num_bytes = file.seek(0, 2)
        if num_bytes != 4 * load_dim * info['num_points_in_gt']:
            raise DataError(f'{path}: {num_bytes} bytes, expected {info["num_points_in_gt"]} points of {load_dim} '
                            f'float32 values, as {self.info_path} says; set load_dim of points_loader to the values of '
                            'a point in it, or write the database anew with mmdet3d\'s create_data.py kitti')

    def read_image(self, path: str) -> np.ndarray:
        """(H, W, 3) uint8 BGR."""
        if not fileio.exists(path, backend_args=self.backend_args):
            raise DataError(f'{path}: no such file; expected the image of an object in {self.info_path}; '
                            'check img_prefix of the db_sampler, and that the images are there')
        content = fetch(path, self.backend_args, f'the image of an object in {self.info_path}')
        return decode_image(path, content, read_image_header(path, BytesIO(content)))


def labelled(instances: list[dict]) -> list[dict]:
    """A frame's objects in the order of the file, without DontCare, which has no 3D box."""
    return [instance for instance in instances if instance['bbox_label_3d'] != -1]


def _same_box(box: np.ndarray, instance: dict, lidar2cam: Sequence[Sequence[float]]) -> bool:
    """Whether a box (7,) of the LiDAR frame is that of a label, which is in the camera's frame."""
    x, y, z, length, height, width = instance['bbox_3d'][:6]
    place = (np.asarray(lidar2cam) @ [*box[:3], 1])[:3]
    return np.allclose([*place, *box[3:6]], [x, y, z, length, width, height], atol=0.05)
