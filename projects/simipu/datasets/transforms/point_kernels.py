"""What decides about each point of a sweep, in one pass over it; loaders do this for every frame."""
import numpy as np

from ...geometry import MIN_DEPTH
from ...jit import njit

_MIN_DEPTH = np.float32(MIN_DEPTH)


@njit
def rows_in_range(points: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Rows of the points (N, 3 or more) between ``limits``, x, y, z from and x, y, z to, both excluded."""
    rows = np.empty(len(points), np.int64)
    count = 0
    for row in range(len(points)):
        x, y, z = points[row, 0], points[row, 1], points[row, 2]
        if limits[0] < x < limits[3] and limits[1] < y < limits[4] and limits[2] < z < limits[5]:
            rows[count] = row
            count += 1
    return rows[:count]


@njit
def seen_by_a_camera(points: np.ndarray, lidar2img: np.ndarray, img_aug_matrix: np.ndarray, ori_shape: np.ndarray,
                     img_shape: np.ndarray) -> np.ndarray:
    """Which points ``geometry.project_to_cameras`` calls visible in any of V images, to the last bit.

    All arguments are float32 arrays as it takes them, without its batch dimension: (N, 3 or more), (V, 4, 4),
    (V, 4, 4), (V, 2) and (V, 2). Returns (N,) bool.
    """
    seen = np.zeros(len(points), np.bool_)
    for row in range(len(points)):
        x, y, z = points[row, 0], points[row, 1], points[row, 2]
        for camera in range(len(lidar2img)):
            depth = _times(lidar2img[camera, 2], x, y, z)
            if depth < _MIN_DEPTH:
                continue
            u, v = _times(lidar2img[camera, 0], x, y, z), _times(lidar2img[camera, 1], x, y, z)
            if not _inside(u / depth, v / depth, ori_shape[camera]):
                continue
            moved_u, moved_v, moved_depth = _turn(img_aug_matrix[camera], u, v, depth)
            shift_u, shift_v = img_aug_matrix[camera, 0, 3], img_aug_matrix[camera, 1, 3]
            if _inside(moved_u / moved_depth + shift_u, moved_v / moved_depth + shift_v, img_shape[camera]):
                seen[row] = True
                break
    return seen


@njit
def _times(row, x, y, z):
    """One row of a (4, 4) matrix times (x, y, z, 1), summed in the order of ``geometry.transform_points``."""
    return x * row[0] + y * row[1] + z * row[2] + row[3]


@njit
def _turn(matrix, x, y, z):
    """The upper left (3, 3) of a matrix times (x, y, z)."""
    return (x * matrix[0, 0] + y * matrix[0, 1] + z * matrix[0, 2],
            x * matrix[1, 0] + y * matrix[1, 1] + z * matrix[1, 2],
            x * matrix[2, 0] + y * matrix[2, 1] + z * matrix[2, 2])


@njit
def _inside(u, v, shape):
    return -0.5 <= u < shape[1] - 0.5 and -0.5 <= v < shape[0] - 0.5
