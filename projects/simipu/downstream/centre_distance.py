"""3D detection scored by the distance of box centres, on any device and for boxes of any frame."""
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from mmdet3d.registry import METRICS
from mmdet3d.structures import BaseInstance3DBoxes
from mmengine.evaluator import BaseMetric
from nuscenes.eval.common.data_classes import EvalBoxes
from nuscenes.eval.common.utils import center_distance
from nuscenes.eval.detection.algo import accumulate, calc_ap
from nuscenes.eval.detection.data_classes import DetectionBox

from ..errors import ConfigError

# As in nuScenes' detection benchmark: precision below either counts as none.
_MIN_RECALL, _MIN_PRECISION = 0.1, 0.1
# The devkit knows nuScenes' ten classes only. It sees one class at a time here, under this name.
_NAME = 'car'
# Lateral distance in metres, up to which a detection's line of sight counts as meeting an object's centre.
_SAME_SIGHT = 1.0


@dataclass(frozen=True)
class Frame:
    """Objects and detections of one class in one frame.

    Centres are in metres with the sensor at the origin: two coordinates on the ground, then the height.
    """
    objects: np.ndarray  # (N, 3) centres
    detections: np.ndarray  # (K, 3) centres
    scores: np.ndarray  # (K,)


class DepthMatch(NamedTuple):
    """Distances from the sensor, in metres, of an object and of the detection in its line of sight."""
    found: float
    truth: float


def average_precision(frames: Sequence[Frame], threshold: float) -> float:
    """nuScenes' average precision of one class: matches by centre distance on the ground.

    In descending score, a detection takes the nearest object of its frame that is still free, if that
    is nearer than ``threshold`` metres (Caesar et al., CVPR 2020, section 3.1).
    """
    objects, detections = EvalBoxes(), EvalBoxes()
    for number, frame in enumerate(frames):
        token = str(number)
        objects.add_boxes(token, [_devkit_box(token, centre) for centre in frame.objects])
        detections.add_boxes(token, [_devkit_box(token, centre, score) for centre, score in
                                     zip(frame.detections, frame.scores)])
    curve = accumulate(objects, detections, _NAME, center_distance, threshold)
    return calc_ap(curve, _MIN_RECALL, _MIN_PRECISION)


def _devkit_box(token: str, centre: np.ndarray, score: float = -1.0) -> DetectionBox:
    """A box of unit size without rotation, neither of which counts for the average precision."""
    return DetectionBox(token, tuple(map(float, centre)), size=(1., 1., 1.), rotation=(1., 0., 0., 0.),
                        detection_name=_NAME, detection_score=float(score))


def match_by_sight(frame: Frame) -> list[DepthMatch]:
    """Pairs of objects and detections in the same direction, whatever their distances.

    In descending score, a detection takes the free object whose centre its line of sight passes
    closest by, if that is within 1 m.
    """
    matches, free = [], np.ones(len(frame.objects), dtype=bool)
    ranges = np.linalg.norm(frame.objects, axis=1)
    for index in np.argsort(-frame.scores, kind='stable'):
        if not free.any():
            break
        distance = np.linalg.norm(frame.detections[index])
        sight = frame.detections[index] / max(distance, 1e-6)
        along = frame.objects @ sight
        beside = np.linalg.norm(frame.objects - along[:, None] * sight, axis=1)
        beside[~free | (along <= 0)] = np.inf
        nearest = beside.argmin()
        if beside[nearest] <= _SAME_SIGHT:
            free[nearest] = False
            matches.append(DepthMatch(distance, ranges[nearest]))
    return matches


@METRICS.register_module()
class CentreDistanceAP(BaseMetric):
    """nuScenes' average precision, and the depth error of the detections.

    mmdet3d's KITTI average precision needs CUDA and is zero for small detectors, which rarely overlap an
    object by half its volume; this one tells them apart. It reads what any mmdet3d dataset and detector
    give in test mode, boxes in camera or LiDAR frame alike.

    Args:
        thresholds: Metres on the ground between the centres of a detection and its object.
        max_distance: Metres on the ground; objects and detections beyond are left out.

    Results: ``mAP``, the mean over classes and thresholds; ``AP@T`` for each threshold T; ``AP_C`` for each
    class C that occurs; all in 0..1. Over pairs of an object and the highest scoring detection in its line
    of sight: ``depth_abs_rel``, the mean error of the distance from the sensor relative to the true one,
    and ``depth_error`` in metres; ``in_sight`` is the share of objects that have such a detection.
    """
    default_prefix = 'detection'

    def __init__(self, thresholds: Sequence[float] = (0.5, 1.0, 2.0, 4.0), max_distance: float = 50.0,
                 collect_device: str = 'cpu', prefix: str | None = None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.thresholds = thresholds
        self.max_distance = max_distance

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        num_classes = len(self.dataset_meta['classes'])
        for sample in data_samples:
            truth, found = sample['eval_ann_info'], sample['pred_instances_3d']
            objects = _by_ground(truth['gt_bboxes_3d'])
            detections = _by_ground(found['bboxes_3d'])
            near = self._is_near(detections)
            detections, scores = detections[near], found['scores_3d'].cpu().numpy()[near]
            labels = found['labels_3d'].cpu().numpy()[near]
            true_labels = np.where(self._is_near(objects), np.asarray(truth['gt_labels_3d']), -1)
            self.results.append([
                Frame(objects[true_labels == label], detections[labels == label], scores[labels == label])
                for label in range(num_classes)])

    def _is_near(self, centres: np.ndarray) -> np.ndarray:
        return np.linalg.norm(centres[:, :2], axis=1) <= self.max_distance  # False for NaN

    def compute_metrics(self, results: list) -> dict[str, float]:
        """The metrics of all frames.

        Raises:
            ConfigError: The frames show no object of any class.
        """
        by_class = {name: frames for name, frames in zip(self.dataset_meta['classes'], zip(*results))
                    if any(len(frame.objects) for frame in frames)}
        if not by_class:
            raise ConfigError(f'CentreDistanceAP: no object of the classes {self.dataset_meta["classes"]} '
                              f'within {self.max_distance:g} m in any of the {len(results)} frames; check '
                              'the labels and metainfo.classes of the validation set')
        precision = np.array([[average_precision(frames, threshold) for threshold in self.thresholds]
                              for frames in by_class.values()])
        metrics = {'mAP': precision.mean().item()}
        metrics.update({f'AP@{threshold:g}': value.item() for threshold, value in
                        zip(self.thresholds, precision.mean(0))})
        metrics.update({f'AP_{name}': value.item() for name, value in zip(by_class, precision.mean(1))})
        return metrics | _depth_metrics([frame for frames in by_class.values() for frame in frames])


def _by_ground(boxes: BaseInstance3DBoxes) -> np.ndarray:
    """Centres (N, 3) of boxes: two coordinates on the ground, then the height."""
    axes = [0, 2, 1] if boxes.YAW_AXIS == 1 else [0, 1, 2]  # camera boxes turn about y
    return boxes.gravity_center[:, axes].double().cpu().numpy()


def _depth_metrics(frames: Sequence[Frame]) -> dict[str, float]:
    matches = np.array([match for frame in frames for match in match_by_sight(frame)]).reshape(-1, 2)
    error, truth = np.abs(matches[:, 0] - matches[:, 1]), matches[:, 1]
    nothing = float('nan')
    return dict(depth_abs_rel=(error / truth).mean().item() if len(matches) else nothing,
                depth_error=error.mean().item() if len(matches) else nothing,
                in_sight=len(matches) / sum(len(frame.objects) for frame in frames))
