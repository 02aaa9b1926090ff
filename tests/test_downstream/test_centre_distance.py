"""Average precision by centre distance, against closed forms, brute force and the nuScenes devkit."""
import numpy as np
import pytest
import torch
from mmdet3d.structures import Box3DMode, CameraInstance3DBoxes, LiDARInstance3DBoxes
from nuscenes.eval.common.data_classes import EvalBoxes
from nuscenes.eval.common.utils import center_distance
from nuscenes.eval.detection.algo import accumulate, calc_ap
from nuscenes.eval.detection.data_classes import DetectionBox
from pyquaternion import Quaternion

from simipu.downstream import CentreDistanceAP

THRESHOLDS = (0.5, 1.0, 2.0, 4.0)
NAMES = ('car', 'pedestrian', 'bicycle')
SIZE = (4.0, 1.8, 1.6)
# LiDAR x forward, y left, z up -> camera x right, y down, z forward.
LIDAR_TO_CAMERA = np.array([[0., -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])


def boxes(centres):
    """LiDAR boxes of one size about centres (x, y) or (x, y, z)."""
    values = np.float32([[*centre, 0][:3] + [*SIZE, 0] for centre in centres]).reshape(-1, 7)
    return LiDARInstance3DBoxes(values, origin=(0.5, 0.5, 0.5))


def sample(objects, detections, scores=None, labels=None, found_labels=None):
    scores = np.linspace(0.9, 0.1, len(detections)) if scores is None else scores
    return dict(
        eval_ann_info=dict(gt_bboxes_3d=boxes(objects), gt_labels_3d=np.zeros(len(objects), dtype=int)
                           if labels is None else labels),
        pred_instances_3d=dict(
            bboxes_3d=boxes(detections), scores_3d=torch.as_tensor(scores, dtype=torch.float32),
            labels_3d=torch.zeros(len(detections), dtype=torch.long) if found_labels is None
            else torch.as_tensor(found_labels)))


def evaluate(samples, classes=('car',), **options):
    metric = CentreDistanceAP(THRESHOLDS, **options)
    metric.dataset_meta = dict(classes=classes)
    metric.process({}, samples)
    return {name.removeprefix('detection/'): value for name, value in metric.evaluate(len(samples)).items()}


def random_samples(rng, num_frames=12):
    """Objects of three classes; noisy, doubled and missing detections, and some of nothing."""
    samples = []
    for _ in range(num_frames):
        objects = rng.uniform([3, -15, -1], [45, 15, 1], (rng.integers(0, 9), 3))
        labels, copies = rng.integers(0, 3, (2, len(objects)))
        seen = np.repeat(objects, copies, axis=0)
        detections = np.concatenate([seen + rng.normal(0, 0.8, seen.shape),
                                     rng.uniform([3, -15, -1], [45, 15, 1], (3, 3))])
        found_labels = np.concatenate([np.repeat(labels, copies), rng.integers(0, 3, 3)])
        samples.append(sample(objects, detections, rng.random(len(detections)), labels, found_labels))
    return samples


def brute_force_ap(samples, label, threshold):
    """By the definition: recall and precision after every detection, 100 recalls, clipped at a tenth."""
    ranked, left, total = [], [], 0
    for number, item in enumerate(samples):
        truth, found = item['eval_ann_info'], item['pred_instances_3d']
        objects = truth['gt_bboxes_3d'].gravity_center[truth['gt_labels_3d'] == label, :2].numpy()
        of_class = found['labels_3d'] == label
        ranked += [(-score, number, centre) for centre, score in zip(
            found['bboxes_3d'].gravity_center[of_class, :2].numpy(), found['scores_3d'][of_class].tolist())]
        left.append(objects.tolist())
        total += len(objects)
    hits, recall, precision = 0, [], []
    for count, (_, number, centre) in enumerate(sorted(ranked, key=lambda entry: entry[0]), start=1):
        distances = [np.hypot(*(centre - other)) for other in left[number]]
        if distances and min(distances) < threshold:
            left[number].pop(int(np.argmin(distances)))
            hits += 1
        recall.append(hits / total)
        precision.append(hits / count)
    sampled = np.interp(np.arange(11, 101) / 100, recall, precision, right=0) if hits else np.zeros(90)
    return np.clip(sampled - 0.1, 0, None).mean() / 0.9


def test_perfect_detections():
    objects = [[10, 0], [20, 5], [30, -4]]
    metrics = evaluate([sample(objects, objects), sample(objects[:1], objects[:1])])
    assert metrics == pytest.approx({'mAP': 1, 'AP@0.5': 1, 'AP@1': 1, 'AP@2': 1, 'AP@4': 1, 'AP_car': 1,
                                     'depth_abs_rel': 0, 'depth_error': 0, 'in_sight': 1})


def test_wrong_depth_in_the_right_direction():
    """1.5 m too far: a miss at 0.5 and 1 m, a hit at 2 and 4 m, and an error of 1.5 m."""
    metrics = evaluate([sample([[10, 0], [0, 20]], [[11.5, 0], [0, 21.5]])])
    assert [metrics[f'AP@{t:g}'] for t in THRESHOLDS] == pytest.approx([0, 0, 1, 1])
    assert metrics['mAP'] == pytest.approx(0.5) and metrics['in_sight'] == 1
    assert metrics['depth_error'] == pytest.approx(1.5)
    assert metrics['depth_abs_rel'] == pytest.approx((1.5 / 10 + 1.5 / 20) / 2)


def test_half_of_the_objects_found():
    """Precision 1 up to a recall of 0.5, of the recalls 0.11, 0.12 ... 1 that count."""
    objects = [[5 + 4 * i, 0] for i in range(10)]
    metrics = evaluate([sample(objects, objects[:5])])
    assert metrics['mAP'] == pytest.approx(40 / 90)
    assert metrics['in_sight'] == 0.5


def test_an_object_counts_once_and_scores_rank():
    """Doubles of every object, last in the ranking: precision 1, but half of it at the recall of 1."""
    objects = [[10, 5 * i] for i in range(-5, 5)]
    doubles = [[x + 0.1, y] for x, y in objects]
    doubled = evaluate([sample(objects, objects + doubles)])
    assert doubled['mAP'] == pytest.approx((89 * 0.9 + 0.5 - 0.1) / 90 / 0.9)
    # As many detections of nothing before all others: never more than one in two is right.
    wrong_first = evaluate([sample(objects, [[40, y] for _, y in objects] + objects)])
    assert 0 < wrong_first['mAP'] < (0.5 - 0.1) / 0.9


def test_equals_brute_force_on_random_frames():
    samples = random_samples(np.random.default_rng(1))
    metrics = evaluate(samples, NAMES)
    expected = np.array([[brute_force_ap(samples, label, t) for t in THRESHOLDS] for label in range(3)])
    assert 0.05 < expected.mean() < 0.9 and len(set(expected.ravel())) > 8
    assert metrics['mAP'] == pytest.approx(expected.mean())
    for threshold, value in zip(THRESHOLDS, expected.mean(0)):
        assert metrics[f'AP@{threshold:g}'] == pytest.approx(value)
    for name, value in zip(NAMES, expected.mean(1)):
        assert metrics[f'AP_{name}'] == pytest.approx(value)


def test_equals_the_devkit_with_all_classes_sizes_and_rotations():
    samples = random_samples(np.random.default_rng(2))
    truth, found = EvalBoxes(), EvalBoxes()
    rotation = tuple(Quaternion(axis=[0, 0, 1], angle=1.))
    for number, item in enumerate(samples):
        info, instances = item['eval_ann_info'], item['pred_instances_3d']
        for target, centres, labels, scores in (
                (truth, info['gt_bboxes_3d'], info['gt_labels_3d'], [-1.0] * 99),
                (found, instances['bboxes_3d'], instances['labels_3d'], instances['scores_3d'].tolist())):
            target.add_boxes(f'frame {number}', [
                DetectionBox(f'frame {number}', tuple(centre), SIZE, rotation,
                             detection_name=NAMES[label], detection_score=score)
                for centre, label, score in zip(centres.gravity_center.tolist(), labels, scores)])
    expected = {name: np.mean([calc_ap(accumulate(truth, found, name, center_distance, t), 0.1, 0.1)
                               for t in THRESHOLDS]) for name in NAMES}
    metrics = evaluate(samples, NAMES)
    assert {name: metrics[f'AP_{name}'] for name in NAMES} == pytest.approx(expected)


def test_camera_boxes_give_the_same_as_lidar_boxes():
    samples = random_samples(np.random.default_rng(3))
    expected = evaluate(samples, NAMES)
    for item in samples:
        truth, found = item['eval_ann_info'], item['pred_instances_3d']
        truth['gt_bboxes_3d'] = truth['gt_bboxes_3d'].convert_to(Box3DMode.CAM, LIDAR_TO_CAMERA)
        found['bboxes_3d'] = found['bboxes_3d'].convert_to(Box3DMode.CAM, LIDAR_TO_CAMERA)
        assert isinstance(found['bboxes_3d'], CameraInstance3DBoxes)
    assert evaluate(samples, NAMES) == pytest.approx(expected, rel=1e-4)


def test_sight_pairs_one_object_with_one_detection():
    """Two objects one behind the other, and one detection between them: it goes to the one, not to both."""
    metrics = evaluate([sample([[10, 0], [30, 0.5]], [[20, 0.1]])])
    assert metrics['in_sight'] == 0.5 and metrics['depth_error'] == pytest.approx(10, abs=0.1)
    # Two metres beside the line of sight is another object.
    assert evaluate([sample([[10, 0]], [[10, 2]])])['in_sight'] == 0
    assert np.isnan(evaluate([sample([[10, 0]], [[10, 2]])])['depth_error'])
    # And what is behind the sensor is not in sight.
    assert evaluate([sample([[10, 0]], [[-10, 0]])])['in_sight'] == 0


def test_the_higher_score_is_the_one_whose_depth_counts():
    metrics = evaluate([sample([[10, 0]], [[10, 0], [15, 0]], scores=[0.2, 0.8])])
    assert metrics['depth_error'] == pytest.approx(5)


def test_far_and_undefined_boxes_are_left_out():
    near, far = [10, 0], [60, 0]
    metrics = evaluate([sample([near, far], [near, far, [np.nan, 0]])])
    assert metrics['mAP'] == pytest.approx(1) and metrics['in_sight'] == 1
    assert evaluate([sample([near, far], [near])], max_distance=70)['in_sight'] == 0.5


def test_classes_are_told_apart_and_absent_ones_left_out():
    samples = [sample([[10, 0], [20, 0]], [[10, 0], [20, 0]], labels=np.array([0, 1]), found_labels=[1, 1])]
    metrics = evaluate(samples, NAMES)
    assert metrics['AP_car'] == 0 and metrics['AP_pedestrian'] > 0 and 'AP_bicycle' not in metrics


def test_labels_that_mmdet3d_ignores_are_no_objects():
    assert evaluate([sample([[10, 0], [20, 0]], [[10, 0]], labels=np.array([0, -1]))])['in_sight'] == 1


def test_no_object_at_all_is_an_error():
    with pytest.raises(ValueError, match=r"no object of the classes \('car',\) within 50 m"):
        evaluate([sample([], [[10, 0]])])
