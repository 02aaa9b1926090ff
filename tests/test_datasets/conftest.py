"""A tiny data set in KITTI's layout."""
from pathlib import Path

import cv2
import numpy as np
import pytest

CALIBRATION = """P2: 40 0 20 4 0 40 10 0 0 0 1 0.005
R0_rect: 1 0 0 0 1 0 0 0 1
Tr_velo_to_cam: 0 -1 0 0 0 0 -1 -0.1 1 0 0 -0.3
"""


@pytest.fixture(autouse=True)
def registry_scope(mmdet3d_scope):
    """Every test here builds transforms or data sets."""


@pytest.fixture
def tiny_kitti(tmp_path: Path) -> Path:
    """Two frames of 40 x 20 pixels and 100 points in front of the car, without labels."""
    rng = np.random.default_rng(0)
    root = tmp_path / 'tiny_kitti'
    for folder in ('training/image_2', 'training/velodyne', 'training/calib', 'ImageSets'):
        (root / folder).mkdir(parents=True)
    for frame in ('000000', '000001'):
        image = rng.integers(0, 256, (20, 40, 3), dtype=np.uint8)
        cv2.imwrite(str(root / f'training/image_2/{frame}.png'), image)
        points = rng.uniform([5, -5, -1, 0], [40, 5, 1, 1], (100, 4)).astype(np.float32)
        points.tofile(root / f'training/velodyne/{frame}.bin')
        (root / f'training/calib/{frame}.txt').write_text(CALIBRATION)
    (root / 'ImageSets/train.txt').write_text('000000\n000001\n')
    return root
