"""mmdet3d's database of objects, with the images that show them."""
import os.path as osp
from collections.abc import Callable, Sequence
from typing import NamedTuple

import mmcv
import mmengine
import numpy as np
from mmdet3d.datasets.transforms import DataBaseSampler
from mmdet3d.registry import TRANSFORMS
from mmengine import fileio

from ..compat import numpy_long
from ..errors import DataError
from ..geometry import to_4x4


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

    def _check_classes(self, db_infos: dict[str, list[dict]], classes: list[str]) -> dict[str, list[dict]]:
        for name in classes:
            if name not in db_infos:
                raise DataError(f'{self.info_path}: expected objects of the class {name!r}, found only '
                                f'{", ".join(db_infos)}; check its spelling, or leave it out of '
                                'sample_groups and filter_by_min_points of the db_sampler')
        return db_infos

    def _add_views(self, db_infos: dict[str, list[dict]], _: None) -> dict[str, list[dict]]:
        """Give each database object its ``view``, and leave out those that are too occluded."""
        frames = mmengine.load(
            self.ann_file, file_format='pkl', backend_args=self.backend_args)['data_list']
        kept = {}
        for name, infos in db_infos.items():
            kept[name] = []
            for info in infos:
                frame, instance = self._label_of(info, frames)
                if instance.get('occluded', 0) <= self.max_occlusion:
                    kept[name].append(dict(info, view=self._view(frame, instance)))
        return kept

    def _label_of(self, info: dict, frames: list[dict]) -> tuple[dict, dict]:
        """Frame and label of a database object.

        mmdet3d 1.4 counts: ``image_idx`` is the frame's place in the info file (not its number in KITTI),
        ``gt_idx`` the object's among those of the frame that are not DontCare.
        """
        place = info['image_idx'], info['gt_idx']
        if place[0] < len(frames):
            frame = frames[place[0]]
            instances = labelled(frame.get('instances', []))
            if place[1] < len(instances) and _same_box(info['box3d_lidar'], instances[place[1]],
                                                       self._camera_of(frame)['lidar2cam']):
                return frame, instances[place[1]]
        raise DataError(f'{self.ann_file}: expected the object of {info["path"]} ({self.info_path}) as '
                        f'number {place[1]} of frame {place[0]}, both from 0, found another 3D box or none; '
                        'the two files are not of one run: write both anew with mmdet3d 1.4\'s '
                        'create_data.py kitti')

    def _camera_of(self, frame: dict) -> dict:
        """The entry of the camera that KITTI's 2D boxes are of."""
        camera = frame['images'].get('CAM2', {})
        for field in ('img_path', 'lidar2cam', 'lidar2img'):
            if field not in camera:
                raise DataError(f'{self.ann_file}: frame {frame["sample_idx"]}: expected images.CAM2.'
                                f'{field}, found {", ".join(camera) or "no CAM2"}; write the file anew with '
                                'mmdet3d 1.4\'s create_data.py kitti')
        return camera

    def _view(self, frame: dict, instance: dict) -> SourceView:
        camera = self._camera_of(frame)
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
        finally:
            self._accept = None

    def sample_class_v2(self, name: str, num: int, gt_bboxes: np.ndarray) -> list[dict]:
        """Of one class: called by ``sample_all``, with all boxes that there are by then."""
        if not self.db_infos[name]:  # mmdet3d's fails then
            return []
        drawn = super().sample_class_v2(name, num, gt_bboxes)
        if self._accept is not None:
            drawn = [info for info in drawn if self._accept(info)]
        self.accepted += drawn
        return drawn

    def read_image(self, path: str) -> np.ndarray:
        """(H, W, 3) uint8 BGR."""
        if not fileio.exists(path, backend_args=self.backend_args):
            raise DataError(f'{path}: no such file; expected the image of an object in {self.info_path}; '
                            'check img_prefix of the db_sampler, and that the images are there')
        image = mmcv.imfrombytes(fileio.get(path, backend_args=self.backend_args), flag='color')
        if image is None:
            raise DataError(f'{path}: expected an image, found what cannot be decoded; download it again')
        return image


def labelled(instances: list[dict]) -> list[dict]:
    """A frame's objects in the order of the file, without DontCare, which has no 3D box."""
    return [instance for instance in instances if instance['bbox_label_3d'] != -1]


def _same_box(box: np.ndarray, instance: dict, lidar2cam: Sequence[Sequence[float]]) -> bool:
    """Whether a box (7,) of the LiDAR frame is that of a label, which is in the camera's frame."""
    x, y, z, length, height, width = instance['bbox_3d'][:6]
    place = (np.asarray(lidar2cam) @ [*box[:3], 1])[:3]
    return np.allclose([*place, *box[3:6]], [x, y, z, length, width, height], atol=0.05)
