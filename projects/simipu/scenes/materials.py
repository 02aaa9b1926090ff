"""Random materials and light of a scene.

Colours are drawn without regard to where or on what they are used, so that a pixel's colour tells
nothing about its depth.
"""
from random import Random

import cv2
import numpy as np

from .kernels import BARS, BRICKS, CHECKER, DIAGONAL, MOTTLED, PLAIN, STRIPES, WINDOWS

MATERIAL = np.dtype([
    ('pattern', 'i8'),  # kernels.PLAIN ...
    ('period', 'f8'),  # of the pattern, metres
    ('share', 'f8'),  # of the second colour within a period
    ('grain', 'f8'),  # strength of the noise that is on every surface
    ('seed', 'i8'),  # of the noise
    ('colours', 'f8', (2, 3)),  # BGR, 0..1
    ('reflectance', 'f8', 2),  # of the two colours for the LiDAR, 0..1
    ('glow', 'f8'),  # light of its own of the second colour (lit windows)
])
LIGHT = np.dtype([
    ('sun', 'f8', 3),  # unit vector towards it
    ('sun_colour', 'f8', 3), ('ambient', 'f8', 3),  # BGR, as all colours here
    ('horizon', 'f8', 3), ('zenith', 'f8', 3), ('cloud', 'f8', 3),
    ('cloud_cover', 'f8'),  # 0..1
    ('cloud_scale', 'f8'),
    ('cloud_seed', 'i8'),
    ('haze', 'f8'),  # share of the light that a metre of air replaces by that of the horizon
])

# Group: (number of materials, patterns to draw from, range of the period in metres, range of the
# grain). The ground's five come first and in the order of kernels.ROAD ... PATCH.
_GROUPS: dict[str, tuple[int, list[int], tuple[float, float], tuple[float, float]]] = {
    'ground': (5, [MOTTLED], (1.0, 6.0), (0.1, 0.5)),
    'facade': (16, [WINDOWS, WINDOWS, WINDOWS, BRICKS, STRIPES, BARS, MOTTLED, CHECKER], (0.8, 3.5),
               (0.0, 0.5)),
    'rough': (16, [MOTTLED, MOTTLED, STRIPES, BARS, DIAGONAL, CHECKER, BRICKS, PLAIN], (0.25, 1.2),
              (0.1, 0.6)),
    'paint': (20, [PLAIN], (1.0, 2.0), (0.0, 0.15)),
    'foliage': (10, [MOTTLED], (0.15, 0.9), (0.2, 0.8)),
    'pole': (8, [PLAIN, PLAIN, STRIPES], (0.3, 1.2), (0.0, 0.3)),
    'bark': (3, [MOTTLED], (0.1, 0.4), (0.2, 0.6)),
    'sign': (6, [PLAIN, DIAGONAL, CHECKER, STRIPES, BARS], (0.2, 0.6), (0.0, 0.1)),
    'dark': (3, [PLAIN], (1.0, 2.0), (0.0, 0.3)),
    'lamp': (3, [PLAIN], (1.0, 2.0), (0.0, 0.0)),
}


class Palette:
    """Tells which rows of a scene's Materials belong to a group."""

    def __init__(self) -> None:
        self._rows: dict[str, tuple[int, int]] = {}
        start = 0
        for name, (count, *_) in _GROUPS.items():
            self._rows[name] = (start, start + count)
            start += count

    def rows(self, group: str) -> slice:
        """Rows of a group."""
        return slice(*self._rows[group])

    def pick(self, rng: Random, *groups: str) -> int:
        """A random material of one of the groups."""
        return rng.randrange(*self._rows[rng.choice(groups)])


def random_colours(rng: np.random.Generator, count: int, value: tuple[float, float] = (0.08, 0.95),
                   saturation: tuple[float, float] = (0.0, 0.85)) -> np.ndarray:
    """Random BGR colours (count, 3) in 0..1 of any hue."""
    hsv = np.stack([rng.uniform(0, 360, count), rng.uniform(*saturation, count),
                    rng.uniform(*value, count)], axis=1)
    return cv2.cvtColor(hsv[None].astype(np.float32), cv2.COLOR_HSV2BGR)[0].astype(np.float64)


def _ground_colours(rng: np.random.Generator) -> np.ndarray:
    """(5, 2, 3): each kind of ground has two related tones; the road is more often grey."""
    saturation = rng.choice([0.15, 0.8], p=[0.6, 0.4])
    road = random_colours(rng, 1, (0.15, 0.75), (0.0, saturation))
    base = np.concatenate([road, random_colours(rng, 2, (0.1, 0.8)),
                           random_colours(rng, 1, (0.6, 1.0), (0.0, 0.6)),
                           road * rng.uniform(0.6, 1.4)])
    tones = rng.uniform([0.55, 1.0], [0.9, 1.3], (5, 2))
    return base[:, None] * tones[:, :, None]


def random_materials(rng: np.random.Generator, palette: Palette) -> np.ndarray:
    """MATERIAL records of a scene, in the order of ``palette``."""
    materials = np.zeros(sum(count for count, *_ in _GROUPS.values()), dtype=MATERIAL)
    for name, (number, patterns, period, grain) in _GROUPS.items():
        group = materials[palette.rows(name)]
        group['pattern'] = rng.choice(patterns, number)
        group['period'], group['grain'] = rng.uniform(*period, number), rng.uniform(*grain, number)
    count = len(materials)
    colours = random_colours(rng, 2 * count).reshape(count, 2, 3)
    colours[palette.rows('ground')] = _ground_colours(rng)
    foliage = colours[palette.rows('foliage')]
    foliage[:, 1] = foliage[:, 0] * rng.uniform(0.3, 0.7, (len(foliage), 1))
    colours[palette.rows('dark')] *= 0.25
    colours[palette.rows('lamp')] = 0.5 + 0.5 * colours[palette.rows('lamp')]
    lit = (rng.random(count) < 0.3) & (materials['pattern'] == WINDOWS)
    materials['glow'] = np.where(lit, rng.uniform(0.2, 1.0, count), 0.0)
    materials['colours'] = np.clip(colours, 0, 1)
    materials['reflectance'] = rng.uniform(0.05, 0.8, (count, 2))
    materials['reflectance'][palette.rows('dark')] *= 0.15
    materials['share'] = rng.uniform(0.3, 0.7, count)
    materials['seed'] = rng.integers(0, 1 << 20, count)
    return materials


def random_light(rng: np.random.Generator) -> np.void:
    """A LIGHT record: a sun or an overcast sky, from noon to dusk, of any tint."""
    azimuth, elevation = rng.uniform(0, 2 * np.pi), np.deg2rad(rng.uniform(12, 75))
    sun = np.array([np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation),
                    np.sin(elevation)])
    strength = rng.choice([0.1, 0.5, 0.9], p=[0.35, 0.2, 0.45])  # overcast, hazy, sunny
    tint = random_colours(rng, 2, (0.85, 1.0), (0.0, 0.3))
    level = np.exp(rng.uniform(np.log(0.45), np.log(1.25)))
    horizon, zenith = random_colours(rng, 2, (0.3, 1.0), (0.0, 0.6)) * min(level + 0.1, 1.0)
    cloud = random_colours(rng, 1, (0.3, 1.0), (0.0, 0.25))[0] * min(level + 0.1, 1.0)
    record = (sun, level * strength * tint[0], level * (1.1 - 0.65 * strength) * tint[1], horizon,
              zenith, cloud, rng.uniform(0.2, 0.9), rng.uniform(0.4, 2.0), rng.integers(1 << 20), 0.0)
    return np.array([record], dtype=LIGHT)[0]
