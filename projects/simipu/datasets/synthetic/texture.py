"""Procedural surface patterns: how much of a material's second colour shows at a point."""
from typing import NamedTuple, Tuple

import numpy as np

from .noise import fractal_noise, hash_unit, jit

(PLAIN, MOTTLED, STRIPES, BARS, DIAGONAL, CHECKER, WINDOWS, BRICKS) = range(8)


class Materials(NamedTuple):
    """M materials; colours are BGR in 0..1."""
    pattern: np.ndarray  # (M,) int64: PLAIN ... BRICKS
    period: np.ndarray  # (M,) of the pattern, metres
    share: np.ndarray  # (M,) of the second colour within a period
    grain: np.ndarray  # (M,) strength of the noise that is on every surface
    seed: np.ndarray  # (M,) int64 of the noise
    colours: np.ndarray  # (M, 2, 3)
    reflectance: np.ndarray  # (M, 2) for the LiDAR, 0..1
    glow: np.ndarray  # (M,) light of its own of the second colour (lit windows)


@jit
def _stripe(position: float, share: float) -> float:
    return 1.0 if position - np.floor(position) < share else 0.0


@jit
def _windows(u: float, v: float, share: float, seed: int) -> Tuple[float, float]:
    """Panes in a grid of 1 x 1.3, each of its own brightness: (mix, brightness)."""
    row, column = np.floor(v / 1.3), np.floor(u)
    fu, fv = u - column, v / 1.3 - row
    margin = 0.5 * (1.0 - np.sqrt(share))
    if fu < margin or fu > 1.0 - margin or fv < margin or fv > 1.0 - margin:
        return 0.0, 1.0
    return 1.0, 0.45 + 0.75 * hash_unit(int(column), int(row), 0, seed)


@jit
def _bricks(u: float, v: float, share: float, seed: int) -> Tuple[float, float]:
    """Courses of bricks, each brick of its own brightness; the second colour is the mortar."""
    course = np.floor(2.0 * v)
    shifted = u + 0.5 * (course - 2.0 * np.floor(course / 2.0))
    brick = np.floor(shifted)
    if 2.0 * v - course < 0.4 * share or shifted - brick < 0.2 * share:
        return 1.0, 1.0
    return 0.0, 0.7 + 0.5 * hash_unit(int(brick), int(course), 1, seed)


@jit
def pattern_at(materials: Materials, m: int, u: float, v: float, p0: float, p1: float, p2: float,
               footprint: float) -> Tuple[float, float]:
    """Appearance of material ``m`` at one surface point.

    Args:
        u, v: Coordinates along the surface, metres (v upwards on walls).
        p0, p1, p2: The point in the frame of its solid, metres.
        footprint: Size of a pixel there, metres; finer patterns fade to their mean.

    Returns:
        (mix, brightness): share of the second colour in 0..1, and a factor about 1 on the colour.
    """
    pattern, period, share = materials.pattern[m], materials.period[m], materials.share[m]
    seed, grain = materials.seed[m], materials.grain[m]
    mix, brightness = 0.0, 1.0
    a, b = u / period, v / period
    if pattern == MOTTLED:
        mix = min(max(2.2 * fractal_noise(p0 / period, p1 / period, p2 / period, seed, 3) - 0.6, 0.0), 1.0)
    elif pattern == STRIPES:
        mix = _stripe(b, share)
    elif pattern == BARS:
        mix = _stripe(a, share)
    elif pattern == DIAGONAL:
        mix = _stripe(a + b, share)
    elif pattern == CHECKER:
        mix = abs(_stripe(a, 0.5) - _stripe(b, 0.5))
    elif pattern == WINDOWS:
        mix, brightness = _windows(a, b, share, seed)
    elif pattern == BRICKS:
        mix, brightness = _bricks(a, b, share, seed)
    if pattern >= STRIPES:
        fade = min(max(1.5 - 2.0 * footprint / period, 0.0), 1.0)
        mix = share + (mix - share) * fade
        brightness = 1.0 + (brightness - 1.0) * fade
    if grain > 0.0:
        brightness *= 1.0 + 2.0 * grain * (fractal_noise(3.1 * p0, 3.1 * p1, 3.1 * p2, seed + 5, 2) - 0.5)
    return mix, brightness
