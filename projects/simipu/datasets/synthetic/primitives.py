"""Solids that a scene is made of: boxes, ellipsoids and cylinders in any pose.

Each is a unit solid (the cube [-1, 1]^3, the unit sphere, the unit cylinder along z) scaled by
``half_size`` along its own axes, turned by ``rotation`` and moved to ``centre``. Lengths in metres; world
frame x forward along the road, y left, z up, ground at z = 0.
"""
from typing import List, NamedTuple, Sequence, Tuple

import numpy as np

BOX, ELLIPSOID, CYLINDER = 0, 1, 2
CUBE_CORNERS = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], dtype=np.float64)


class Primitives(NamedTuple):
    """N solids as arrays, the form that the ray caster reads."""
    kind: np.ndarray  # (N,) int64: BOX, ELLIPSOID or CYLINDER
    centre: np.ndarray  # (N, 3)
    half_size: np.ndarray  # (N, 3)
    rotation: np.ndarray  # (N, 3, 3) from the solid's axes to world
    material: np.ndarray  # (N,) int64: row in Materials
    cutout: np.ndarray  # (N,) share of the surface that is holes (foliage), 0 where solid
    instance: np.ndarray  # (N,) int64: number of the labelled object it belongs to, -1 for none

    def corners(self) -> np.ndarray:
        """World positions of the bounding boxes' corners, (N, 8, 3)."""
        scaled = CUBE_CORNERS * self.half_size[:, None]
        return scaled @ self.rotation.transpose(0, 2, 1) + self.centre[:, None]

    def select(self, mask: np.ndarray) -> 'Primitives':
        """The solids where ``mask`` (N,) is true."""
        return Primitives(*(np.ascontiguousarray(array[mask]) for array in self))


def rotation_zyx(yaw: float, pitch: float = 0.0, roll: float = 0.0) -> np.ndarray:
    """Rotation (3, 3): roll about x, then pitch about y, then yaw about z; radians."""
    cy, sy = np.cos(yaw), np.sin(yaw)
    cp, sp = np.cos(pitch), np.sin(pitch)
    cr, sr = np.cos(roll), np.sin(roll)
    return np.array([[cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
                     [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
                     [-sp, cp * sr, cp * cr]])


class PrimitiveBuilder:
    """Collects solids one by one; ``build`` turns them into arrays."""

    def __init__(self) -> None:
        self._rows: List[Tuple] = []
        self.instance = -1  # object that the solids added next belong to

    def add(self, kind: int, centre: Sequence[float], half_size: Sequence[float], material: int,
            rotation: Tuple[float, float, float] = (0.0, 0.0, 0.0), cutout: float = 0.0) -> None:
        """Add a solid; ``rotation`` is (yaw, pitch, roll) in radians."""
        self._rows.append((kind, centre, half_size, rotation_zyx(*rotation), material, cutout,
                           self.instance))

    def build(self) -> Primitives:
        """All solids added so far."""
        kind, centre, half_size, rotation, material, cutout, instance = zip(*self._rows)
        return Primitives(
            np.array(kind, dtype=np.int64), np.array(centre, dtype=np.float64),
            np.array(half_size, dtype=np.float64), np.array(rotation, dtype=np.float64),
            np.array(material, dtype=np.int64), np.array(cutout, dtype=np.float64),
            np.array(instance, dtype=np.int64))
