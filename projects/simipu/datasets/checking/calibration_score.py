"""Do a cloud's depth edges lie on image edges, better than with a slightly wrong calibration?

After Levinson and Thrun, "Automatic online calibration of cameras and lasers" (RSS 2013): the
agreement of depth edges and image edges is compared between the given calibration and many
perturbed ones, so that no absolute level needs to be known.
"""
import itertools
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from ...geometry import rotation_matrix, translation_matrix
from .depth_edges import DepthEdges, find_depth_edges

MIN_IMAGES = 4
"""A verdict needs the edges of so many images; a single one may be too plain or too busy."""
FEW_IMAGES = 3
"""So many give a verdict only where it is clear; 1 and 2 give none."""
FEW_IMAGES_LIMITS = dict(score=1.5, advantage=-1.8)
"""With ``FEW_IMAGES``, wrong is a score below this with a negative advantage, or an advantage below this."""
MIN_EDGES = 50
MIN_ADVANTAGE = 0.0
MIN_SCORE = 2.5
PLACES = np.array([0, 1 / 3, 2 / 3])


class Perturbation(NamedTuple):
    """An error of the camera's pose: rotations in degrees, then shifts in metres.

    ``pitch`` turns about the camera's x axis (right), ``yaw`` about y (down), ``roll`` about z
    (forward); ``right``, ``down`` and ``forward`` move along them.
    """
    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    right: float = 0.0
    down: float = 0.0
    forward: float = 0.0

    def matrix(self) -> np.ndarray:
        """(4, 4), applied to points in camera coordinates."""
        rotation = np.eye(4)
        for axis, angle in zip('yxz', self[:3]):
            rotation = rotation @ rotation_matrix(np.radians(angle), axis)
        return translation_matrix(self[3:]) @ rotation

    @property
    def is_small(self) -> bool:
        """Too small to tell from none: below 1 degree (roll 2), no shift but forward.

        Roll and a forward shift hardly move what is near the middle of the image.
        """
        return (abs(self.yaw) < 1 and abs(self.pitch) < 1 and abs(self.roll) < 2
                and not (self.right or self.down))

    def __str__(self) -> str:
        units = ['deg'] * 3 + ['m'] * 3
        return ', '.join(f'{name} {value:+g} {unit}' for name, value, unit in
                         zip(self._fields, self, units) if value) or 'none'


def _perturbations() -> list[Perturbation]:
    angles = np.arange(-2, 2.1, 0.5).tolist()
    rotations = [Perturbation(*angles) for angles in
                 itertools.product(angles, angles, (-4.0, -2.0, -1.0, 0.0, 1.0, 2.0, 4.0))]
    shifts = [Perturbation(**{axis: metres}) for axis in ('right', 'down', 'forward')
              for metres in (-1.0, -0.5, 0.5, 1.0)]
    return rotations + shifts


PERTURBATIONS = _perturbations()
SMALL = np.array([perturbation.is_small for perturbation in PERTURBATIONS])
NONE = PERTURBATIONS.index(Perturbation())


class CalibrationVerdict(NamedTuple):
    """What the images of one camera, or of all, say about the calibration.

    Attributes:
        num_images: Images with enough depth edges.
        score: Agreement of the calibration as it is, in standard deviations above the mean of the
            perturbed ones that are not small.
        advantage: The best agreement within the small perturbations minus the best without.
            Positive where the calibration is right, and negative where it is wrong.
        best: The perturbation of the best agreement.
        wrong: Whether ``score`` is below 2.5 or ``advantage`` below 0 (docs/check_dataset.md has
            the measurements behind these limits), with three images only where it is far below them; None:
            too few images to say. True as well where most
            images have hardly any depth edges: the LiDAR sees next to nothing of what the camera is
            said to look at.
    """
    num_images: int
    score: float
    advantage: float
    best: Perturbation
    wrong: bool | None


def agreement(points: np.ndarray, image: np.ndarray, lidar2img: np.ndarray) -> np.ndarray | None:
    """Agreement of depth edges and image edges under each of ``PERTURBATIONS``.

    Args:
        points: (N, 3) in LiDAR coordinates.
        image: (H, W, 3) uint8.
        lidar2img: (4, 4).

    Returns:
        One value for each perturbation, in standard deviations of those that are not small; None
        if there are too few depth edges.
    """
    edges = find_depth_edges(points, lidar2img, image.shape[:2])
    if len(edges.near) < MIN_EDGES:
        return None
    maps = image_edges(image, edges.focal_length)
    return standardise(np.array([_mean_edge(edges, maps, p.matrix()) for p in PERTURBATIONS]))


def standardise(values: np.ndarray) -> np.ndarray:
    """In standard deviations above the mean of the perturbations that are not small."""
    others = values[~SMALL]
    return (values - others.mean()) / max(others.std(), 1e-12)


def judge(agreements: Sequence[np.ndarray | None],
          min_images: int = MIN_IMAGES) -> CalibrationVerdict:
    """Verdict of several images, given ``agreement`` of each."""
    known = [values for values in agreements if values is not None]
    enough = len(agreements) >= min_images
    if 2 * len(known) < len(agreements) and enough:
        return CalibrationVerdict(len(known), 0.0, 0.0, Perturbation(), True)
    if not known:
        return CalibrationVerdict(0, 0.0, 0.0, Perturbation(), None)
    mean = standardise(np.mean(known, axis=0))
    advantage = float(mean[SMALL].max() - mean[~SMALL].max())
    score = float(mean[NONE])
    if enough:
        wrong = advantage < MIN_ADVANTAGE or score < MIN_SCORE
    else:
        clear = (score < FEW_IMAGES_LIMITS['score'] and advantage < 0) or advantage < FEW_IMAGES_LIMITS['advantage']
        wrong = True if len(known) == FEW_IMAGES and clear else None
    return CalibrationVerdict(len(known), score, advantage, PERTURBATIONS[int(mean.argmax())], wrong)


def image_edges(image: np.ndarray, focal_length: float) -> np.ndarray:
    """How strong vertical and horizontal edges are at each pixel, (H, W, 2) float32.

    Strength is a rank among all pixels, so that contrast and exposure do not matter, blurred to the
    precision wanted (0.1 degrees), less its mean in the neighbourhood (1.5 degrees): a busy part of
    the image must not attract all depth edges.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).astype(np.float32)
    degree = focal_length * np.radians(1)
    grey = cv2.GaussianBlur(grey, (0, 0), max(0.08 * degree, 0.8))
    return np.dstack([_relative_rank(np.abs(cv2.Sobel(grey, cv2.CV_32F, *direction)), degree)
                      for direction in ((1, 0), (0, 1))])


def _relative_rank(strength: np.ndarray, degree: float) -> np.ndarray:
    quantiles = np.quantile(strength, np.linspace(0, 1, 257)[1:-1]).astype(np.float32)
    rank = np.searchsorted(quantiles, strength).astype(np.float32) / len(quantiles)
    rank = cv2.GaussianBlur(rank, (0, 0), max(0.1 * degree, 0.5))
    height, width = rank.shape
    small = cv2.resize(rank, (-(-width // 8), -(-height // 8)), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), max(1.5 * degree / 8, 0.5))
    return rank - cv2.resize(small, (width, height))


def _mean_edge(edges: DepthEdges, maps: np.ndarray, perturbation: np.ndarray) -> float:
    """Mean strength of the strongest image edge across each depth edge.

    The surface's outline lies anywhere between two beams, so several places between them are looked
    at. An edge between left and right shows in the map of vertical edges. The perturbation moves
    both ends as it moves the nearer one, the outline's: a shift would otherwise draw them apart,
    and the longer way between them would hit more image edges.
    """
    near = _project(edges.near, edges.intrinsics)
    step = _project(edges.far, edges.intrinsics) - near
    vertical = step[:, 0] ** 2 / np.maximum((step ** 2).sum(axis=1), 1e-9)
    moved = _project(edges.near @ perturbation[:3, :3].T + perturbation[:3, 3], edges.intrinsics)
    places = (moved + step * PLACES[:, None, None]).astype(np.float32)
    sampled = cv2.remap(maps, places, None, cv2.INTER_LINEAR)
    strength = vertical * sampled[..., 0] + (1 - vertical) * sampled[..., 1]
    return float(strength.max(axis=0).mean())


def _project(points: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    homogeneous = points @ intrinsics.T
    return homogeneous[:, :2] / np.maximum(homogeneous[:, 2:], 1e-3)
