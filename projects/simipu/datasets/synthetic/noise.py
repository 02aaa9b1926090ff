"""Reproducible noise for textures: numba functions that depend on coordinates and a seed only."""
from typing import Callable

import numba
import numpy as np


def jit(function: Callable) -> Callable:
    """Compile for the CPU, without the GIL, and keep the machine code on disk where that is possible.

    numba refuses ``cache=True`` where neither the package nor the user's cache folder is writable; the
    function is then compiled anew in each process.
    """
    options = dict(nogil=True, error_model='numpy')
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:
        return numba.njit(**options)(function)


@jit
def hash_unit(ix: int, iy: int, iz: int, seed: int) -> float:
    """A fixed pseudo-random number in [0, 1) for each lattice point and seed."""
    h = (ix * 374761393 + iy * 668265263 + iz * 1440662683 + seed * 974634623) & 0xFFFFFFFF
    h = ((h ^ (h >> 15)) * 2246822519) & 0xFFFFFFFF
    h = ((h ^ (h >> 13)) * 3266489917) & 0xFFFFFFFF
    return (h ^ (h >> 16)) / 4294967296.0


@jit
def value_noise(x: float, y: float, z: float, seed: int) -> float:
    """Smooth noise in [0, 1): lattice values (one per unit length), blended by smoothstep."""
    x0, y0, z0 = np.floor(x), np.floor(y), np.floor(z)
    fx, fy, fz = x - x0, y - y0, z - z0
    wx = fx * fx * (3.0 - 2.0 * fx)
    wy = fy * fy * (3.0 - 2.0 * fy)
    wz = fz * fz * (3.0 - 2.0 * fz)
    ix, iy, iz = int(x0), int(y0), int(z0)
    total = 0.0
    for k in range(2):
        for j in range(2):
            low = hash_unit(ix, iy + j, iz + k, seed)
            high = hash_unit(ix + 1, iy + j, iz + k, seed)
            weight = (wy if j else 1.0 - wy) * (wz if k else 1.0 - wz)
            total += weight * (low + (high - low) * wx)
    return total


@jit
def fractal_noise(x: float, y: float, z: float, seed: int, octaves: int) -> float:
    """Sum of ``octaves`` value noises, each twice as fine and half as strong; in [0, 1)."""
    total, norm, amplitude = 0.0, 0.0, 1.0
    for octave in range(octaves):
        total += amplitude * value_noise(x, y, z, seed + octave)
        norm += amplitude
        amplitude *= 0.5
        x, y, z = 2.03 * x, 2.03 * y, 2.03 * z
    return total / norm
