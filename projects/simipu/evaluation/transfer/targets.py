"""What a linear probe reads from features besides depth: the surface and the object at a pixel.

Both come from the cloud and from KITTI's label files, so that they need no camera but the one that is probed.
"""
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...datasets.converters import kitti_calibration
from ...datasets.transforms.surroundings import surface_normals
from ...errors import DataError

CLASSES = {'vehicle': ('Car', 'Van', 'Truck', 'Tram'), 'person': ('Pedestrian', 'Person_sitting', 'Cyclist')}


class ProbeTarget(NamedTuple):
    """What to read, and how well it was read.

    Attributes:
        label: (N, 3) cloud in LiDAR frame, (K,) numbers of points of it, file of the cloud -> (K, T) values;
            NaN where there is none.
        score: (K, T) predicted, (K, T) true values -> figures by name.
    """
    label: Callable[[np.ndarray, np.ndarray, str], np.ndarray]
    score: Callable[[Tensor, Tensor], dict[str, float]]


def angular_errors(predicted: Tensor, true: Tensor) -> dict[str, float]:
    """Mean angle between (K, 3) directions and (K, 3) unit vectors in degrees; share of angles below 22.5."""
    cosine = torch.nn.functional.cosine_similarity(predicted, true, dim=1).clamp(-1, 1)
    degrees = torch.rad2deg(torch.arccos(cosine))
    return dict(degrees=degrees.mean().item(), within_22=(degrees < 22.5).double().mean().item())


def object_classes(cloud: np.ndarray, points: np.ndarray, cloud_file: str) -> np.ndarray:
    """In which labelled boxes of KITTI's object data set some points lie.

    Args:
        cloud: (N, 3) in LiDAR frame, metres.
        points: (K,) numbers of the points.
        cloud_file: ``.../velodyne/NAME.bin``, beside ``label_2/`` and ``calib/``.

    Returns:
        (K, 2), 1 where a point is of a vehicle or of a person, else 0.

    Raises:
        DataError: There is no label file.
    """
    folder, name = Path(cloud_file).parent.parent, Path(cloud_file).stem
    labels = folder / 'label_2' / f'{name}.txt'
    if not labels.is_file():
        raise DataError(f'{labels}: no such file; classes are read from the labels of KITTI\'s object data set, which '
                        'are to lie beside its clouds')
    lidar2cam = kitti_calibration(folder / 'calib' / f'{name}.txt').lidar2cam
    xyz = cloud[points] @ lidar2cam[:3, :3].T + lidar2cam[:3, 3]  # the frame that labels are in
    members = np.zeros((len(points), len(CLASSES)))
    for line in labels.read_text().splitlines():
        kind, *values = line.split()
        for column, kinds in enumerate(CLASSES.values()):
            if kind in kinds:
                members[_inside(xyz, np.array(values[7:14], dtype=float)), column] = 1
    return members


def mean_precision(predicted: Tensor, true: Tensor) -> dict[str, float]:
    """Average precision of each class by (K, T) scores of (K, T) members, and 1 - their mean as ``error``."""
    precisions = {}
    for name, scores, members in zip(CLASSES, predicted.T, true.T):
        found = members[scores.argsort(descending=True)].double()
        precision = found.cumsum(0) / torch.arange(1, len(found) + 1)
        precisions[name] = ((precision * found).sum() / found.sum().clamp(min=1)).item()
    return dict(error=1 - sum(precisions.values()) / len(precisions), **precisions)


def _inside(xyz: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Whether (K, 3) points lie in a box: height, width, length, middle of the bottom (3), rotation_y."""
    height, width, length, *bottom, yaw = box
    offset = xyz - bottom
    cos, sin = np.cos(yaw), np.sin(yaw)
    along, across = cos * offset[:, 0] - sin * offset[:, 2], sin * offset[:, 0] + cos * offset[:, 2]
    return (abs(along) <= length / 2) & (abs(across) <= width / 2) & (offset[:, 1] <= 0) & (offset[:, 1] >= -height)


SURFACE = ProbeTarget(lambda cloud, points, file: surface_normals(cloud, cloud[points]), angular_errors)
OBJECT = ProbeTarget(object_classes, mean_precision)
