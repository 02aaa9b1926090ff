"""Which common mistake explains clouds that do not fit their images: each is undone and scored."""
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from ...geometry import invert_matrix, mirror_matrix, rotation_matrix, to_4x4
from .calibration_score import agreement, judge
from .depth_edges import split_projection

MIN_SCORE = 3.5
MIN_ADVANTAGE = 0.3


class Sample(NamedTuple):
    """Points (N, 3), an image (H, W, 3), and the ``lidar2img`` (4, 4) that shall bring them together."""
    points: np.ndarray
    image: np.ndarray
    lidar2img: np.ndarray


class Mistake(NamedTuple):
    """``kind`` and ``message`` of the finding, and ``undo``: a sample to the ``lidar2img`` without it."""
    kind: str
    message: str
    undo: Callable[[Sample], np.ndarray]


def explain(samples: Sequence[Sample]) -> Mistake | None:
    """The mistake without which clouds and images fit best, if they clearly do."""
    best, best_score = None, MIN_SCORE
    for mistake in _mistakes() if samples else ():
        first = judge([_score(samples[0], mistake)])
        if first.score < 1:
            continue
        verdict = judge([_score(sample, mistake) for sample in samples])
        if verdict.score >= best_score and verdict.advantage >= MIN_ADVANTAGE:
            best, best_score = mistake, verdict.score
    return best


def _score(sample: Sample, mistake: Mistake) -> np.ndarray | None:
    return agreement(sample.points, sample.image, mistake.undo(sample))


def _mistakes() -> Iterator[Mistake]:
    for degrees in (90, 180, 270):
        yield Mistake('axes', f'the clouds are turned by {degrees} degrees about z against the calibration. Turn them '
                      'back, or multiply lidar2img and lidar2cam from the right with '
                      f'simipu.geometry.rotation_matrix(radians(-{degrees}))',
                      _with_cloud(rotation_matrix(np.radians(-degrees))))
    for axis in 'xy':
        yield Mistake('axes', f'the {axis} axis of the clouds is inverted against the calibration. Change the sign '
                      f'of {axis} in the clouds', _with_cloud(mirror_matrix(axis)))
    yield Mistake('axes', 'x and y of the clouds are exchanged against the calibration. Exchange the columns of the '
                  'clouds', _with_cloud(np.eye(4)[[1, 0, 2, 3]]))
    yield Mistake('calibration', 'lidar2cam is inverted: it takes the camera to the LiDAR. Invert it',
                  _with_pose(lambda pose: invert_matrix(pose, 'lidar2cam')))
    yield Mistake('calibration', 'the rotation of lidar2cam is transposed. Transpose its upper left 3x3',
                  _with_pose(_transpose_rotation))
    for scale in (0.25, 0.5, 2 / 3, 0.75, 0.8, 1.25, 4 / 3, 1.5, 2.0, 4.0):
        yield Mistake('size', f'the calibration is that of images {1 / scale:.3g} times as large. Multiply the first '
                      f'two rows of cam2img (or of lidar2img) by {scale:.3g}',
                      _with_pixels(np.diag([scale, scale, 1, 1])))
    yield Mistake('size', 'the images are mirrored, left to right. Mirror them back',
                  lambda sample: _mirrored(sample) @ sample.lidar2img)


def _with_cloud(matrix: np.ndarray) -> Callable[[Sample], np.ndarray]:
    return lambda sample: sample.lidar2img @ matrix


def _with_pixels(matrix: np.ndarray) -> Callable[[Sample], np.ndarray]:
    return lambda sample: matrix @ sample.lidar2img


def _with_pose(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Sample], np.ndarray]:
    def undo(sample: Sample) -> np.ndarray:
        intrinsics, pose = split_projection(sample.lidar2img)
        return to_4x4(intrinsics) @ change(pose)

    return undo


def _transpose_rotation(pose: np.ndarray) -> np.ndarray:
    transposed = pose.copy()
    transposed[:3, :3] = pose[:3, :3].T
    return transposed


def _mirrored(sample: Sample) -> np.ndarray:
    matrix = np.eye(4)
    matrix[0, 0], matrix[0, 2] = -1, sample.image.shape[1] - 1
    return matrix
