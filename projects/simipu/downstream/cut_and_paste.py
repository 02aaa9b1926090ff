"""Multi-modality cut-and-paste: objects of other frames, pasted into cloud and image alike.

After MoCa (Zhang et al., "Exploring Data Augmentation for Multi-Modality 3D Object Detection", arXiv
2012.12741) and PointAugmenting (Wang et al., CVPR 2021). mmdet3d's own sampler draws the objects and keeps
them from colliding in the bird's eye view; this file adds the image.

A pasted object keeps its place in the LiDAR frame (x forward, y left, z up, metres). Images are BGR, pixel
centres are integers, and depth is along the camera's axis, all as in ``simipu.geometry``.
"""
from collections.abc import Callable, Sequence
from typing import NamedTuple

import cv2
import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmdet3d.datasets.transforms import ObjectSample
from mmdet3d.registry import TRANSFORMS
from mmdet3d.structures import Box3DMode, CameraInstance3DBoxes, LiDARInstance3DBoxes
from mmdet3d.structures.points import BasePoints

from ..errors import ConfigError, DataError
from ..geometry import MIN_DEPTH, project, to_4x4, visible
from .object_database import SourceView, labelled

_REQUIRED = dict(points='LoadPointsFromFile', img='LoadImageFromFile', gt_bboxes_3d='LoadAnnotations3D',
                 gt_labels_3d='LoadAnnotations3D')
_OF_THE_DATASET = ('instances', 'lidar2cam', 'lidar2img')
# Fields that say that image, cloud or boxes are no longer where the calibration has them.
_MOVED = ('scale', 'scale_factor', 'flip', 'crop_size', 'pcd_rotation', 'pcd_scale_factor', 'pcd_trans',
          'pcd_horizontal_flip', 'pcd_vertical_flip', 'transformation_3d_flow')
# Fields with one row an object that nothing here could fill for a pasted one.
_UNKNOWN = ('centers_2d', 'depths', 'attr_labels')


class _Boxes(NamedTuple):
    """Where N 3D boxes are, as a camera sees them.

    Attributes:
        bounds: (N, 4) left, top, right, bottom of the projected corners in pixels, beyond the image too.
        depth: (N,) of the centres, in metres,
        near: (N,) of the nearest and
        far: (N,) of the farthest corners. Where ``near`` is not positive, ``bounds`` mean nothing.
    """
    bounds: np.ndarray
    depth: np.ndarray
    near: np.ndarray
    far: np.ndarray


def _project_boxes(boxes: np.ndarray, lidar2img: np.ndarray) -> _Boxes:
    """Project boxes (N, 7) of the LiDAR frame, as in ``LiDARInstance3DBoxes``, by a (4, 4) matrix."""
    corners = LiDARInstance3DBoxes(boxes).corners.double()  # (N, 8, 3)
    pixels, depth = (item.numpy() for item in project(corners, torch.from_numpy(lidar2img)))
    bounds = np.concatenate([pixels.min(axis=1), pixels.max(axis=1)], axis=1)
    return _Boxes(bounds, depth.mean(axis=1), depth.min(axis=1), depth.max(axis=1))


def _pixel_box(bounds: np.ndarray, img_shape: Sequence[int]) -> np.ndarray:
    """(..., 4) left, top, right, bottom of the image's pixels within bounds; the last two are excluded."""
    limit = [img_shape[1], img_shape[0]] * 2
    return np.clip(np.floor(np.asarray(bounds) + [0.5, 0.5, 1.5, 1.5]).astype(int), 0, limit)


def _area(boxes: np.ndarray) -> np.ndarray:
    """Of boxes (..., 4), 0 for empty ones."""
    return np.prod(np.maximum(boxes[..., 2:] - boxes[..., :2], 0), axis=-1)


def _slices(box: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns of a box of pixels."""
    return slice(box[1], box[3]), slice(box[0], box[2])


class _Object(NamedTuple):
    """An object of the frame in the making.

    Attributes:
        box: (4,) its pixels: left, top, right, bottom, of which the last two are excluded.
        depth: Of its centre in metres; the nearer object is in front.
        far: Depth of its farthest corner.
        view: Where a pasted object comes from; None for the frame's own.
        to_source: (2, 3) takes pixels of this image to those of the source's.
    """
    box: np.ndarray
    depth: float
    far: float
    view: SourceView | None = None
    to_source: np.ndarray | None = None


class _Scene:
    """The objects of a frame, its own and pasted ones, as its camera sees them.

    Args:
        boxes: (N, 7) the frame's own in the LiDAR frame, and
        bboxes: (N, 4) their labelled 2D boxes.
        lidar2img: (4, 4).
        img_shape: Height and width.
        max_covered: See ``MultiModalCutAndPaste``.
        min_inside: See there.
    """

    def __init__(self, boxes: np.ndarray, bboxes: np.ndarray, lidar2img: np.ndarray,
                 img_shape: Sequence[int], max_covered: float, min_inside: float) -> None:
        self.lidar2img, self.img_shape = lidar2img, img_shape
        self.max_covered, self.min_inside = max_covered, min_inside
        self.own_centres = boxes[:, :3]
        seen = _project_boxes(boxes, lidar2img)
        self.objects = [_Object(*item) for item in zip(_pixel_box(bboxes, img_shape), seen.depth, seen.far)]

    def accept(self, info: dict) -> bool:
        """Add an object of the database, unless it is out of the image, or it or another is too hidden.

        Nor the frame's own: mmdet3d's collision test does not see that two boxes are one.
        """
        distances = np.linalg.norm(self.own_centres - info['box3d_lidar'][:3], axis=1)
        if distances.min(initial=np.inf) < 0.05:
            return False
        new = self._place(info['box3d_lidar'], info['view'])
        if new is None:
            return False
        if any(self._covered(item, [*self.objects, new]) > self.max_covered
               for item in [*self.objects, new] if item is new or self._hides(new, item)):
            return False
        self.objects.append(new)
        return True

    def _place(self, box: np.ndarray, view: SourceView) -> _Object | None:
        """An object (7,) in this image: its 2D box moves and scales as its projected 3D box does."""
        source = _project_boxes(box[None], view.lidar2img)
        target = _project_boxes(box[None], self.lidar2img)
        if min(source.near[0], target.near[0]) < MIN_DEPTH:
            return None
        source_bounds, target_bounds = source.bounds.reshape(2, 2), target.bounds.reshape(2, 2)
        scale = np.diff(target_bounds, axis=0)[0] / np.diff(source_bounds, axis=0)[0]
        shift = target_bounds[0] - scale * source_bounds[0]
        bounds = (view.bbox.reshape(2, 2) * scale + shift).reshape(4)
        pixels = _pixel_box(bounds, self.img_shape)
        if _area(pixels) < max(self.min_inside * _area(bounds + [0, 0, 1, 1]), 1):
            return None
        to_source = np.array([[1 / scale[0], 0, -shift[0] / scale[0]],
                              [0, 1 / scale[1], -shift[1] / scale[1]]])
        return _Object(pixels, target.depth[0], target.far[0], view, to_source)

    @staticmethod
    def _hides(front: _Object, item: _Object) -> bool:
        common = np.append(np.maximum(front.box[:2], item.box[:2]), np.minimum(front.box[2:], item.box[2:]))
        return front.depth < item.depth and _area(common) > 0

    def _covered(self, item: _Object, objects: list[_Object]) -> float:
        """Share of an object's box that the boxes of nearer objects cover together."""
        left, top, right, bottom = item.box
        mask = np.zeros((bottom - top, right - left), dtype=bool)
        for front in objects:
            if self._hides(front, item):
                mask[_slices(np.maximum(front.box - [left, top, left, top], 0))] = True
        return mask.mean() if mask.size else 0.0

    def paint(self, image: np.ndarray, read_image: Callable[[str], np.ndarray]) -> np.ndarray:
        """The image (H, W, 3) with the pasted objects, from far to near; the frame's own among them."""
        painted = image.copy()
        for index in self._far_to_near():
            item = self.objects[index]
            rows_columns = _slices(item.box)
            painted[rows_columns] = image[rows_columns] if item.view is None else _patch(
                read_image(item.view.img_path), item)
        return painted

    def hidden(self, points: BasePoints, owner: np.ndarray) -> np.ndarray:
        """Which of P points lie behind the object that the image shows in their place.

        Args:
            owner: (P,) the number of the pasted object that a point belongs to, -1 for the frame's own
                points. Those are only hidden by pasted objects, and not by the frame's own.

        Returns:
            (P,) boolean.
        """
        pixels, depth = project(points.coord.double(), torch.from_numpy(self.lidar2img))
        inside = visible(pixels, depth, torch.tensor(self.img_shape)).numpy()
        column, row = np.where(inside, (pixels.numpy().T + 0.5), 0).astype(int)
        front = np.where(inside, self._front()[row, column], -1)
        far = np.array([item.far for item in self.objects])
        pasted = np.array([item.view is not None for item in self.objects])
        other = (front >= 0) & (front != owner) & (pasted[front] | (owner >= 0))
        return other & (depth.numpy() > far[front])

    def _front(self) -> np.ndarray:
        """(H, W) the number of the object that each pixel shows, -1 where there is none."""
        front = np.full(self.img_shape, -1)
        for index in self._far_to_near():
            front[_slices(self.objects[index].box)] = index
        return front

    def _far_to_near(self) -> np.ndarray:
        return np.argsort([-item.depth for item in self.objects], kind='stable')


def _patch(source: np.ndarray, item: _Object) -> np.ndarray:
    """A pasted object's pixels (h, w, 3), interpolated from its source image."""
    left, top, right, bottom = item.box
    to_source = item.to_source.copy()
    to_source[:, 2] += to_source[:, :2] @ (left, top)
    return cv2.warpAffine(source, to_source, (int(right - left), int(bottom - top)),
                          flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE)


@TRANSFORMS.register_module()
class MultiModalCutAndPaste(BaseTransform):
    """Paste objects of other frames into a frame's cloud, image and labels; for KITTI.

    Put it right after ``LoadAnnotations3D``: before the image is resized, and before anything is turned,
    scaled or flipped.

    - An object keeps its 3D box and points. The frame's points in that box go.
    - Its image patch is the labelled 2D box in its own frame, moved and scaled as its projected 3D box is by
      the change of calibration.
    - Patches are drawn from far to near, in one order with the frame's own objects: those that are nearer
      stay in front, vans and others that are not trained for included.
    - Points that lie behind what the image shows in their place go, too: of the frame, those behind a pasted
      object; of a pasted object, those behind any other.

    Required keys: ``points``, ``img`` (H, W, 3), ``gt_bboxes_3d``, ``gt_labels_3d``, and of the data set
    ``instances``, ``lidar2cam`` and ``lidar2img``. Modified: the first four; ``gt_bboxes`` and
    ``gt_bboxes_labels`` where there are such.

    Randomness comes from numpy's global generator. As with mmdet3d's ``ObjectSample``, what is drawn depends
    on what was drawn before.

    Args:
        db_sampler: Config of a ``DataBaseSamplerWithImages``.
        max_covered: An object is not pasted if more than this share of its 2D box would be covered by nearer
            ones, or of another's by it. Of several numbers, one is drawn for each frame.
        min_inside: Nor if less than this share of its 2D box is inside the image.
        remove_hidden: Whether hidden points go.

    Raises:
        ConfigError: The transform is in the wrong place of the pipeline, or the frame is not of one camera.
        DataError: A file of the database is missing or wrong.
    """

    def __init__(self, db_sampler: dict, max_covered: float | Sequence[float] = 0.5,
                 min_inside: float = 0.7, remove_hidden: bool = True) -> None:
        self.max_covered = np.atleast_1d(max_covered).tolist()
        for name, shares in (('max_covered', self.max_covered), ('min_inside', [min_inside])):
            if not shares or not all(0 <= share <= 1 for share in shares):
                raise ConfigError(f'MultiModalCutAndPaste: {name}: expected shares from 0 to 1, found '
                                  f'{shares}')
        self.min_inside, self.remove_hidden = min_inside, remove_hidden
        self.db_sampler = TRANSFORMS.build(dict(dict(type='DataBaseSamplerWithImages'), **db_sampler))

    def transform(self, results: dict) -> dict:
        self._check(results)
        boxes, bboxes = self._own_objects(results)
        scene = _Scene(boxes, bboxes, to_4x4(np.asarray(results['lidar2img']), 'lidar2img'),
                       results['img'].shape[:2], np.random.choice(self.max_covered), self.min_inside)
        sampled, infos = self.db_sampler.sample_accepted(boxes, results['gt_labels_3d'], scene.accept)
        if sampled is None:
            return results
        results['img'] = scene.paint(results['img'], self.db_sampler.read_image)
        results['points'] = self._paste_points(results['points'], sampled, infos, scene)
        self._paste_labels(results, sampled, scene.objects[len(boxes):])
        return results

    @staticmethod
    def _own_objects(results: dict) -> tuple[np.ndarray, np.ndarray]:
        """3D boxes (N, 7) in the LiDAR frame and 2D boxes (N, 4) of all classes, trained for or not."""
        instances = labelled(results['instances'])
        boxes = CameraInstance3DBoxes(np.array([item['bbox_3d'] for item in instances]).reshape(-1, 7))
        boxes = boxes.convert_to(Box3DMode.LIDAR, np.linalg.inv(results['lidar2cam']))
        return boxes.numpy(), np.array([item['bbox'] for item in instances]).reshape(-1, 4)

    def _paste_points(self, points: BasePoints, sampled: dict, infos: list[dict],
                      scene: _Scene) -> BasePoints:
        """The cloud with the pasted objects' points, without those inside or behind them."""
        points = ObjectSample.remove_points_in_boxes(points, sampled['gt_bboxes_3d'])
        first = len(scene.objects) - len(infos)
        counts = [info['num_points_in_gt'] for info in infos]
        owner = np.repeat(np.arange(first, len(scene.objects)), counts)
        if len(owner) != len(sampled['points']):
            raise DataError(f'{self.db_sampler.info_path}: expected {len(owner)} points of the objects '
                            f'{", ".join(info["path"] for info in infos)}, found {len(sampled["points"])} in '
                            'their files; set load_dim of points_loader to the values of a point in them')
        owner = np.concatenate([owner, np.full(len(points), -1)])
        points = points.cat([sampled['points'], points])
        return points[~scene.hidden(points, owner)] if self.remove_hidden else points

    @staticmethod
    def _paste_labels(results: dict, sampled: dict, pasted: list[_Object]) -> None:
        own, labels = results['gt_bboxes_3d'], sampled['gt_labels_3d']
        results['gt_bboxes_3d'] = own.new_box(np.concatenate([own.numpy(), sampled['gt_bboxes_3d']]))
        bboxes = np.array([item.box for item in pasted]) - [0, 0, 1, 1]
        for key, rows in dict(gt_labels_3d=labels, gt_bboxes_labels=labels, gt_bboxes=bboxes).items():
            if key in results:
                results[key] = np.concatenate([results[key], rows]).astype(results[key].dtype)

    @staticmethod
    def _check(results: dict) -> None:
        """Refuse frames to which a transform was applied that must come after, or that lack a field."""
        name = 'MultiModalCutAndPaste'
        for key, loader in _REQUIRED.items():
            if key not in results:
                raise ConfigError(f'{name}: found no `{key}` in the frame; expected {loader} before it in the '
                                  'pipeline, put it there')
        for key in _OF_THE_DATASET:
            if results.get(key) is None:
                raise ConfigError(f'{name}: found no `{key}` in the frame; expected a KittiDataset for '
                                  'training with modality=dict(use_lidar=True, use_camera=True)')
        if not isinstance(results['img'], np.ndarray) or np.shape(results['lidar2img']) != (4, 4):
            raise ConfigError(f'{name}: expected one image and one lidar2img (4, 4), found `img` of type '
                              f'{type(results["img"]).__name__} and lidar2img of shape '
                              f'{np.shape(results["lidar2img"])}; it is made for one camera, as in KITTI')
        moved = [key for key in _MOVED if key in results]
        shapes = {key: tuple(results[key][:2]) for key in ('ori_shape', 'img_shape') if key in results}
        size = results['img'].shape[:2]
        moved += [f'{key} {shape} of an image of {size}' for key, shape in shapes.items() if shape != size]
        if moved:
            raise ConfigError(f'{name}: expected a frame as it was loaded, found {moved[0]}; put it right '
                              'after LoadAnnotations3D, before all that resizes, turns, scales or flips')
        unknown = [key for key in _UNKNOWN if key in results]
        if unknown:
            raise ConfigError(f'{name}: found `{unknown[0]}`, which pasted objects do not have; set '
                              'with_bbox_depth and with_attr_label of LoadAnnotations3D to False')

    def __repr__(self) -> str:
        return (f'{type(self).__name__}(db_sampler={self.db_sampler.info_path}, '
                f'max_covered={self.max_covered}, min_inside={self.min_inside}, '
                f'remove_hidden={self.remove_hidden})')
