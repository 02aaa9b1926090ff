"""A world unlike that of scene.py: a paved yard in haze, seen from a lorry's roof through a longer lens.

To measure what was learned in one world in another. Only the ray caster is shared: no road and no road users, other
shapes, patterns, colours and light, another camera and another LiDAR.
"""
from random import Random

import numpy as np

from .kernels import BOX, BRICKS, CHECKER, CYLINDER, ELLIPSOID, SIDEWALK, STRIPES, VERGE, WAVES
from .materials import LIGHT, MATERIAL
from .primitives import PrimitiveBuilder, rotation_zyx
from .scene import FAR, Scene, ground_record, shadow_map
from .sensors import KittiRig, Lidar, kitti_rig, pose, random_calibration

_REACH = 70.0  # metres around the sensors that are furnished
_FREE = 6.0  # nothing stands closer to the sensors
_NUM_GROUND, _NUM_MATERIALS = 5, 30
# Hue in degrees, saturation and value: sand, brick, moss, slate, chalk.
_TONES = np.array([(35, 0.45, 0.75), (15, 0.6, 0.5), (80, 0.4, 0.4), (215, 0.15, 0.4), (50, 0.08, 0.85)])
_TONE_SPREAD = (8, 0.08, 0.12)


class _Yard:
    """Adds solids at random places, each thing apart from the others."""

    def __init__(self, rng: Random) -> None:
        self.rng, self.builder = rng, PrimitiveBuilder()
        self._taken = [(0.0, 0.0, _FREE)]

    def fill(self) -> None:
        things = ((self._containers, 4.5, 14), (self._silo, 4.0, 8), (self._heap, 3.5, 10), (self._gantry, 6.0, 4),
                  (self._pipes, 3.5, 8), (self._tank, 2.5, 8), (self._drums, 1.5, 16), (self._slab, 1.5, 12))
        for add, radius, most in things:
            for _ in range(self.rng.randrange(most // 3, most)):
                place = self._place(radius)
                if place is not None:
                    add(*place)

    def _place(self, radius: float) -> tuple[float, float] | None:
        """A free disc, or None; more often near than far, and ahead than behind."""
        rng = self.rng
        reach, angle = radius + _FREE + _REACH * rng.random()**1.5, rng.gauss(0, 0.9)
        x, y = reach * np.cos(angle), reach * np.sin(angle)
        if any((x - a)**2 + (y - b)**2 < (radius + r)**2 for a, b, r in self._taken):
            return None
        self._taken.append((x, y, radius))
        return x, y

    def _add(self, kind: int, centre, half_size, yaw: float = 0.0, pitch: float = 0.0,
             material: int | None = None) -> None:
        if material is None:
            material = self.rng.randrange(_NUM_GROUND, _NUM_MATERIALS)
        self.builder.add(kind, centre, half_size, material, (yaw, pitch, 0))

    def _containers(self, x: float, y: float) -> None:
        rng, yaw = self.rng, self.rng.uniform(0, np.pi)
        half = (rng.uniform(1.5, 3.2), rng.uniform(0.9, 1.3), rng.uniform(0.7, 1.4))
        for level in range(rng.randrange(1, 4)):
            shift = rng.gauss(0, 0.2)
            self._add(BOX, (x + shift, y - shift, (2 * level + 1) * half[2]), half, yaw + rng.gauss(0, 0.05))

    def _silo(self, x: float, y: float) -> None:
        radius, height = self.rng.uniform(1.0, 3.5), self.rng.uniform(2, 7)
        self._add(CYLINDER, (x, y, height), (radius, radius, height))
        self._add(ELLIPSOID, (x, y, 2 * height), (radius, radius, 0.5 * radius))

    def _heap(self, x: float, y: float) -> None:
        rng = self.rng
        self._add(ELLIPSOID, (x, y, 0), (rng.uniform(1, 3.5), rng.uniform(1, 3.5), rng.uniform(0.5, 2.5)),
                  rng.uniform(0, np.pi))

    def _gantry(self, x: float, y: float) -> None:
        rng, yaw, span = self.rng, self.rng.uniform(0, np.pi), self.rng.uniform(2.5, 5)
        height, thick, material = rng.uniform(3, 6), rng.uniform(0.15, 0.4), rng.randrange(_NUM_GROUND, _NUM_MATERIALS)
        for side in (-span, span):
            self._add(BOX, (x + side * np.cos(yaw), y + side * np.sin(yaw), height / 2), (thick, thick, height / 2),
                      yaw, material=material)
        self._add(BOX, (x, y, height), (span + thick, thick, thick), yaw, material=material)

    def _pipes(self, x: float, y: float) -> None:
        rng, yaw, radius = self.rng, self.rng.uniform(0, np.pi), self.rng.uniform(0.2, 0.7)
        length = rng.uniform(1.5, 3)
        for step in range(rng.randrange(1, 4)):
            side = 2.05 * radius * step
            self._add(CYLINDER, (x - side * np.sin(yaw), y + side * np.cos(yaw), radius), (radius, radius, length), yaw,
                      np.pi / 2)

    def _tank(self, x: float, y: float) -> None:
        rng, radius = self.rng, self.rng.uniform(0.7, 1.8)
        legs = rng.uniform(0.3, 2.5)
        self._add(ELLIPSOID, (x, y, legs + radius), (radius, radius, radius))
        self._add(CYLINDER, (x, y, legs / 2), (0.3 * radius, 0.3 * radius, legs / 2))

    def _drums(self, x: float, y: float) -> None:
        for _ in range(self.rng.randrange(1, 5)):
            radius, height, shift = self.rng.uniform(0.2, 0.4), self.rng.uniform(0.3, 0.6), self.rng.gauss(0, 0.7)
            self._add(CYLINDER, (x + shift, y + self.rng.gauss(0, 0.7), height), (radius, radius, height))

    def _slab(self, x: float, y: float) -> None:
        rng = self.rng
        self._add(BOX, (x, y, 0.7), (rng.uniform(0.5, 1.5), rng.uniform(0.5, 1.5), 0.08), rng.uniform(0, np.pi),
                  rng.uniform(0.3, 1.3))


def _colours(rng: np.random.Generator, count: int) -> np.ndarray:
    """(count, 3) BGR in 0..1, of the yard's few tones."""
    hsv = rng.normal(_TONES[rng.integers(0, len(_TONES), count)], _TONE_SPREAD)
    hue, saturation, value = hsv.T[:, :, None]
    # https://en.wikipedia.org/wiki/HSL_and_HSV#HSV_to_RGB_alternative
    sector = (np.array([1, 3, 5]) + hue / 60) % 6
    return (value - value * saturation * np.minimum(sector, 4 - sector).clip(0, 1)).clip(0, 1)


def _materials(rng: np.random.Generator) -> np.ndarray:
    materials = np.zeros(_NUM_MATERIALS, dtype=MATERIAL)
    materials['pattern'] = rng.choice([WAVES, WAVES, BRICKS, STRIPES], _NUM_MATERIALS)
    materials['pattern'][SIDEWALK], materials['pattern'][VERGE] = rng.choice([CHECKER, BRICKS]), WAVES
    materials['period'] = np.exp(rng.uniform(np.log(0.15), np.log(1.5), _NUM_MATERIALS))
    materials['share'], materials['grain'] = 0.5, rng.uniform(0, 0.3, _NUM_MATERIALS)
    colours = _colours(rng, _NUM_MATERIALS)
    materials['colours'] = np.stack([colours, colours * rng.uniform(0.5, 0.9, (_NUM_MATERIALS, 1))], axis=1)
    materials['reflectance'] = rng.uniform(0.1, 0.9, (_NUM_MATERIALS, 1))
    materials['seed'] = rng.integers(0, 1 << 20, _NUM_MATERIALS)
    return materials


def _light(rng: np.random.Generator) -> np.void:
    """A low, warm sun in haze, which takes half of the contrast within 60 to 200 m."""
    azimuth, elevation = rng.uniform(0, 2 * np.pi), np.deg2rad(rng.uniform(15, 35))
    sun = np.array([np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)])
    haze = np.array([0.75, 0.82, 0.88]) * rng.uniform(0.6, 1.0)
    record = (sun, np.array([0.5, 0.75, 0.95]) * rng.uniform(0.3, 0.9), np.array([0.55, 0.5, 0.48]), haze, 0.8 * haze,
              haze, 0.2, 1.0, rng.integers(1 << 20), np.log(2) / rng.uniform(60, 200))
    return np.array([record], dtype=LIGHT)[0]


def random_yard(rng: np.random.Generator) -> Scene:
    """Draw a scene; the same state of ``rng`` gives the same scene. Nothing in it is labelled."""
    yard = _Yard(Random(int(rng.integers(1 << 62))))
    yard.fill()
    primitives, materials, light = yard.builder.build(), _materials(rng), _light(rng)
    # The pavement of a road of no width, which bends nowhere.
    ground = ground_record(dict(half_width=-1.0, num_lanes=1.0, dash=1.0, edge_line=-1.0, sidewalk=rng.uniform(5, 30),
                                crossing=FAR, side_road=FAR))
    return Scene(primitives, materials, ground, light, shadow_map(primitives, light), [], ego_y=0.0)


def random_yard_rig(rng: np.random.Generator, image_size: tuple[int, int], ego_y: float) -> KittiRig:
    """A camera 2.4 to 3.2 m above the ground that looks down by 6 degrees, and a LiDAR of few beams above it.

    Arguments as of ``random_kitti_rig``.
    """
    calibration = random_calibration(rng, image_size, focal=0.95, camera=([0.3, -0.3, -1.0], [0.9, 0.3, -0.5]),
                                     pitch=rng.normal(6, 2))
    lidar_to_world = pose(rotation_zyx(np.deg2rad(rng.normal(0, [15, 1, 1]))), (0, ego_y, rng.uniform(3.2, 3.9)))
    # Beams lie closer towards the horizon.
    beams = np.sinh(np.linspace(np.arcsinh(8.0), -np.arcsinh(25.0), int(rng.integers(20, 41))))
    azimuths = np.linspace(np.pi, -np.pi, 1600, endpoint=False)
    lidar = Lidar(lidar_to_world, np.deg2rad(beams), azimuths, max_range=rng.uniform(100, 200),
                  range_noise=rng.uniform(0.02, 0.05), dropout=rng.uniform(0.1, 0.25))
    return kitti_rig(calibration, lidar, image_size)
