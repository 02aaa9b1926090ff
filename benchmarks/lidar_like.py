"""A cloud with the geometry of a LiDAR sweep, for benchmarks that should not need a data set."""
import numpy as np
import torch
from torch import Tensor


def lidar_like_clouds(batch: int, num_points: int, seed: int = 0) -> Tensor:
    """(B, N, 4): rings of 64 beams on ground and walls up to 70 m, x, y, z in metres, intensity."""
    rng = np.random.default_rng(seed)
    azimuth = rng.uniform(-0.7, 0.7, (batch, num_points))
    elevation = np.radians(rng.choice(np.linspace(-24.8, 2, 64), (batch, num_points)))
    wall = 8 + 62 * np.abs(np.sin(5 * azimuth + rng.uniform(0, 6, (batch, 1)))) ** 2
    ground = 1.73 / np.maximum(-np.tan(elevation), 1e-3)
    reach = np.minimum(wall, ground) + rng.normal(0, 0.02, wall.shape)
    points = np.stack([reach * np.cos(azimuth), reach * np.sin(azimuth), reach * np.tan(elevation),
                       rng.random(wall.shape)], axis=-1)
    return torch.from_numpy(points.astype(np.float32))
