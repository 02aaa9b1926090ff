"""Solids that a scene is made of: boxes, ellipsoids and cylinders in any pose."""
from collections.abc import Sequence

import numpy as np

# A unit solid (see kernels.BOX ...) is scaled by ``half_size`` along its own axes, turned by
# ``rotation`` and moved to ``centre``. Metres, world frame.
PRIMITIVE = np.dtype([
    ('kind', 'i8'),
    ('centre', 'f8', 3),
    ('half_size', 'f8', 3),
    ('rotation', 'f8', (3, 3)),  # from the solid's axes to world
    ('material', 'i8'),  # row of the scene's materials
    ('cutout', 'f8'),  # foliage: how much of the surface is holes, 0 where solid
    ('instance', 'i8'),  # number of the labelled object it belongs to, -1 for none
])
CUBE_CORNERS = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)],
                        dtype=np.float64)


def corners(primitives: np.ndarray) -> np.ndarray:
    """World positions (N, 8, 3) of the corners of the boxes around PRIMITIVE records (N,)."""
    return to_world(primitives, CUBE_CORNERS)


def to_world(primitives: np.ndarray, unit_points: np.ndarray) -> np.ndarray:
    """Takes points (K, 3) or (N, K, 3) on unit solids to world: (N, K, 3)."""
    scaled = unit_points * primitives['half_size'][:, None]
    return scaled @ primitives['rotation'].transpose(0, 2, 1) + primitives['centre'][:, None]


def rotation_zyx(angles: np.ndarray) -> np.ndarray:
    """Rotations (..., 3, 3): roll about x, then pitch about y, then yaw about z.

    Args:
        angles: (..., 3) yaw, pitch and roll in radians.
    """
    angles = np.asarray(angles, dtype=np.float64)
    (cy, cp, cr), (sy, sp, sr) = np.moveaxis(np.cos(angles), -1,
                                             0), np.moveaxis(np.sin(angles), -1, 0)
    rows = [[cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
            [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
            [-sp, cp * sr, cp * cr]]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


class PrimitiveBuilder:
    """Collects solids one by one; ``build`` turns them into records."""

    def __init__(self) -> None:
        self._rows: list[tuple] = []
        self.instance = -1  # object that the solids added next belong to

    def add(self, kind: int, centre: Sequence[float], half_size: Sequence[float], material: int,
            rotation: tuple[float, float, float] = (0.0, 0.0, 0.0), cutout: float = 0.0) -> None:
        """Add a solid; ``rotation`` is (yaw, pitch, roll) in radians."""
        self._rows.append((kind, centre, half_size, rotation, material, cutout, self.instance))

    def build(self) -> np.ndarray:
        """PRIMITIVE records (N,) of all solids added so far."""
        primitives = np.empty(len(self._rows), dtype=PRIMITIVE)
        columns = dict(zip(PRIMITIVE.names, zip(*self._rows)))
        columns['rotation'] = rotation_zyx(columns['rotation'])
        for name, values in columns.items():
            primitives[name] = values
        return primitives
