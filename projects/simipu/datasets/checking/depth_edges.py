"""Where the depth of a cloud jumps, as a camera sees it."""
from typing import NamedTuple

import numpy as np
import torch
from scipy.linalg import rq
from scipy.spatial import Delaunay, QhullError

from ...geometry import Occlusion, hidden, invert_matrix, project, visible

NEAREST_PLANE = 0.7
"""No surface's plane passes the camera at less than this distance, in metres."""
MIN_DEPTH = 1.0
MIN_RATIO = 1.1
MAX_GAP = np.radians(1.5)
MAX_EDGES = 2000


class DepthEdges(NamedTuple):
    """K pairs of neighbouring points with a jump of depth between them, in camera coordinates.

    Attributes:
        near: (K, 3), the ends on the nearer surfaces, in metres: x right, y down, z forward.
        far: (K, 3), the ends on the farther ones.
        intrinsics: (3, 3), camera coordinates to pixels.
    """
    near: np.ndarray
    far: np.ndarray
    intrinsics: np.ndarray

    @property
    def focal_length(self) -> float:
        """In pixels, the geometric mean of both directions."""
        return float(np.sqrt(self.intrinsics[0, 0] * self.intrinsics[1, 1]))


def split_projection(lidar2img: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Intrinsics (3, 3) and rigid transform to the camera (4, 4) with this product (4, 4).

    A rotation with determinant -1 is that of no real camera.
    """
    intrinsics, rotation = rq(lidar2img[:3, :3])
    signs = np.sign(np.diag(intrinsics))
    intrinsics, rotation = intrinsics * signs, signs[:, None] * rotation
    scale = intrinsics[2, 2]
    lidar2cam = np.eye(4)
    lidar2cam[:3, :3] = rotation
    lidar2cam[:3, 3] = invert_matrix(intrinsics, 'intrinsics') @ lidar2img[:3, 3]
    return intrinsics / scale, lidar2cam


def find_depth_edges(points: np.ndarray, lidar2img: np.ndarray,
                     img_shape: tuple[int, int]) -> DepthEdges:
    """Depth edges among the points (N, 3) that an image of this (height, width) shows.

    Neighbours are those of a Delaunay triangulation of the projected points, which suits every
    LiDAR's pattern. On a plane, inverse depth is linear in the pixel, with a slope of at most
    1 / (focal length * distance of the plane from the camera). A steeper step is no slanted
    surface, however coarse the beams, but a jump from one surface to another.
    """
    intrinsics, lidar2cam = split_projection(lidar2img)
    pixels, depth, inside = _seen(points, lidar2img, img_shape)
    first, second = _neighbours(pixels).T
    near = np.where(depth[first] < depth[second], first, second)
    far = first + second - near
    focal = np.sqrt(intrinsics[0, 0] * intrinsics[1, 1])
    gap = np.linalg.norm(pixels[near] - pixels[far], axis=1) / focal
    jump = 1 / depth[near] - 1 / depth[far] > gap / NEAREST_PLANE
    jump &= (depth[far] > MIN_RATIO * depth[near]) & (gap < MAX_GAP)
    edges = np.flatnonzero(jump)
    if len(edges) > MAX_EDGES:
        edges = np.random.default_rng(0).choice(edges, MAX_EDGES, replace=False)
    camera = points[inside] @ lidar2cam[:3, :3].T + lidar2cam[:3, 3]
    return DepthEdges(camera[near[edges]], camera[far[edges]], intrinsics)


def _seen(points: np.ndarray, lidar2img: np.ndarray,
          img_shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels, depth and row numbers of the points that the image shows, hidden ones left out."""
    pixels, depth = project(torch.from_numpy(points).double(), torch.from_numpy(lidar2img))
    shape = torch.tensor(img_shape)
    mask = visible(pixels, depth, shape, MIN_DEPTH)
    mask &= ~hidden(pixels, depth, pixels, depth, shape, Occlusion())
    return pixels[mask].numpy(), depth[mask].numpy(), mask.nonzero()[:, 0].numpy()


def _neighbours(pixels: np.ndarray) -> np.ndarray:
    """(E, 2) row numbers of neighbouring pixels, each pair once."""
    try:
        triangles = Delaunay(pixels).simplices
    except (QhullError, ValueError):  # fewer than three points, or all on one line
        return np.empty((0, 2), dtype=int)
    sides = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    return np.unique(np.sort(sides, axis=1), axis=0)
