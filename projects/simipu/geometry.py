"""Geometry of images and point clouds: everything is a chain of 4x4 matrices.

    pixel = img_aug_matrix @ lidar2img @ inv(lidar_aug_matrix) @ point

Conventions
    LiDAR frame: right-handed, z up, metres. Which way is ahead depends on the data set: x in KITTI and
    Waymo (y left), y in nuScenes (x right). Nothing here depends on it; ranges in configs do.
    Image matrices act on ``(u * depth, v * depth, depth, 1)``, so that what moves pixels sits in
    the upper-left 3x3 block and depth passes through unchanged. BEVFusion's ``img_aug_matrix`` has its
    translation in the last column instead and applies it after the division by depth.
    ``project_to_cameras`` takes both forms; before multiplying one of BEVFusion's with ``lidar2img``,
    move its last column to the third.
    Pixel centres are integers: ``(0, 0)`` is the centre of the top-left pixel, and an image of
    width W covers ``-0.5 <= u < W - 0.5``.

The first half works on torch tensors (any device, float64 kept), the second builds matrices as
float64 numpy arrays.
"""
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .errors import DataError
from .files import shown

MIN_DEPTH = 0.1
"""Nearer points (metres) are not visible: pixels of depth 0 are undefined."""

MAX_CAMERA_DISTANCE = 1000.0
"""A camera farther (metres) from the origin of the cloud is given in map coordinates, or wrongly."""

Array = np.ndarray | Tensor


def transform_points(points: Tensor, matrix: Tensor) -> Tensor:
    """Apply an affine transform.

    Args:
        points: (..., N, 3).
        matrix: (..., 4, 4), last row (0, 0, 0, 1).

    Returns:
        (..., N, 3).
    """
    # Not a matrix product: autocast and TF32 would round that, and pixels with it.
    columns = matrix[..., None, :3, :3].unbind(-1)
    rotated = sum(points[..., axis, None] * column for axis, column in enumerate(columns))
    return rotated + matrix[..., None, :3, 3]


def project(points: Tensor, matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Project points into an image.

    Args:
        points: (..., N, 3) in metres.
        matrix: (..., 4, 4), ``lidar2img`` or ``img_aug_matrix @ lidar2img``.

    Returns:
        Pixels (..., N, 2) as (u, v), and depth (..., N) in metres along the camera's axis. Depth
        may be zero or negative (beside or behind the camera); the pixels are finite then, but mean
        nothing.
    """
    return _divide_by_depth(transform_points(points, matrix))


def _divide_by_depth(homogeneous: Tensor) -> tuple[Tensor, Tensor]:
    """``(u * depth, v * depth, depth)`` to pixels and depth; finite for every depth."""
    depth = homogeneous[..., 2]
    divisor = torch.where(depth.abs() < 1e-6, torch.full_like(depth, 1e-6), depth)
    return homogeneous[..., :2] / divisor[..., None], depth


def visible(pixels: Tensor,
            depth: Tensor,
            img_shape: Tensor,
            min_depth: float = MIN_DEPTH) -> Tensor:
    """Which projections are in front of the camera and inside the image.

    Args:
        pixels: (..., N, 2) as (u, v).
        depth: (..., N) in metres.
        img_shape: (..., 2), height and width of the image without padding.
        min_depth: nearest depth in metres that counts as in front.

    Returns:
        Boolean mask (..., N).
    """
    width_height = torch.as_tensor(img_shape, device=pixels.device).flip(-1)[..., None, :]
    inside = (pixels >= -0.5) & (pixels < width_height - 0.5)
    return inside.all(dim=-1) & (depth >= min_depth)


class Occlusion(NamedTuple):
    """When a point counts as hidden behind a nearer surface; see ``hidden``.

    The defaults suit KITTI. A tolerance must cover what depth changes along one surface within a
    cell: on a road ``depth * cell / (focal length * camera height)`` of the depth, which is 10% at
    59 m with KITTI's 721 pixels and 1.65 m, and at 18 m in an image of 384 pixels; use a smaller
    cell there.

    Attributes:
        cell: Side of the depth buffer's square cells, in pixels of the original image.
        window: How far around a point its cover is looked for, in pixels of the original image. It
            should reach over the gap between two LiDAR beams: about 5 pixels for KITTI's 64 beams,
            29 for nuScenes' 32 (``dict(cell=4, window=32)``).
        tolerance: In metres, and
        relative_tolerance: as a share of the point's depth: a cover is nearer by more than their
            sum.
    """
    cell: float = 2.0
    window: float = 8.0
    tolerance: float = 0.5
    relative_tolerance: float = 0.1


def hidden(pixels: Tensor,
           depth: Tensor,
           surface_pixels: Tensor,
           surface_depth: Tensor,
           img_shape: Tensor,
           occlusion: Occlusion = Occlusion()) -> Tensor:
    """Which points lie behind a nearer surface, as seen from the camera (parallax to the LiDAR).

    The cloud is rendered into a coarse buffer of smallest depths. A cloud is sparse, so one nearer
    point nearby does not hide another: on a road, every point has nearer ones below it. A point is
    hidden where it is *surrounded*: where each of the four quadrants of its window (upper left,
    upper right, lower left, lower right; its own cell, row and column belong to those on either
    side) holds a point nearer by more than the tolerance. Background seen between the bars of a
    fence or through leaves is dropped as well; what shows past an outline is kept.

    Args:
        pixels: (..., N, 2) as (u, v) in the original image, and
        depth: (..., N) in metres, of the points to judge.
        surface_pixels: (..., P, 2) and
        surface_depth: (..., P) of the points that may hide them, in the same image.
        img_shape: (..., 2), height and width of the original image.
        occlusion: Cell size, window and tolerances.

    Returns:
        Boolean mask (..., N). False for points outside the image.
    """
    batch = depth.shape[:-1]
    num_images = math.prod(batch)
    pixels, depth, surface_pixels, surface_depth = (
        tensor.reshape(num_images, *tensor.shape[len(batch):])
        for tensor in (pixels, depth, surface_pixels, surface_depth))
    img_shape = img_shape.reshape(-1, 2).to(depth.device)
    surround = _surrounding_depth(surface_pixels, surface_depth, img_shape, occlusion)
    inside = visible(pixels, depth, img_shape)
    cover = surround.flatten(1).gather(
        1, _cells(pixels, inside, surround.shape[-1], occlusion.cell))
    limit = depth * (1 - occlusion.relative_tolerance) - occlusion.tolerance
    return (inside & (cover < limit)).reshape(*batch, -1)


def _surrounding_depth(pixels: Tensor, depth: Tensor, img_shape: Tensor,
                       occlusion: Occlusion) -> Tensor:
    """(I, rows, columns): the depth within which all quadrants of a cell's window hold a point."""
    inside = visible(pixels, depth, img_shape)
    rows, columns = (math.ceil(side / occlusion.cell) for side in img_shape.amax(dim=0).tolist())
    buffer = depth.new_full((len(depth), rows * columns), float('inf'), dtype=torch.float32)
    buffer.scatter_reduce_(1, _cells(pixels, inside, columns, occlusion.cell),
                           torch.where(inside, depth, float('inf')).float(), 'amin')
    buffer = buffer.view(-1, rows, columns)
    reach = max(round(occlusion.window / occlusion.cell), 1)
    sides = [(0, reach), (reach, 0)]
    halves = [_smallest(buffer, before, after) for before, after in sides]
    quadrants = [_smallest(half.mT, before, after).mT for half in halves for before, after in sides]
    return torch.stack(quadrants).amax(dim=0)


def _smallest(buffer: Tensor, before: int, after: int) -> Tensor:
    """Minimum over so many columns before and after each column of (I, rows, columns)."""
    padded = F.pad(-buffer, (before, after), value=-float('inf'))
    return -F.max_pool1d(padded, before + after + 1, stride=1)


def _cells(pixels: Tensor, inside: Tensor, columns: int, cell: float) -> Tensor:
    """(I, N) number of the buffer's cell under each pixel, 0 for pixels outside the image."""
    column, row = torch.where(inside[..., None], (pixels + 0.5) / cell, 0).long().unbind(-1)
    return row * columns + column


def project_to_cameras(points: Tensor,
                       lidar2img: Tensor,
                       img_aug_matrix: Tensor,
                       ori_shape: Tensor,
                       img_shape: Tensor,
                       cloud: Tensor | None = None,
                       occlusion: Occlusion | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Project a cloud into each of its V augmented images and say which points each image shows.

    A point is visible where it is in front of the camera, inside the original image (so not in what
    a rotation filled in) and inside the augmented one (so neither cropped away nor in the padding);
    and, if asked for, not hidden behind a nearer surface.

    Args:
        points: (B, N, 3), in the frame of the raw cloud (``lidar_aug_matrix`` already undone).
        lidar2img: (B, V, 4, 4).
        img_aug_matrix: (B, V, 4, 4). Its last column is zero where this package made it; where it is not
            (BEVFusion), it shifts pixels, that is after the division by depth.
        ori_shape: (B, V, 2), height and width of the images as loaded.
        img_shape: (B, V, 2), height and width of the augmented images, without padding.
        cloud: (B, P, 3), the points that may hide others, needed for ``occlusion``: the denser, the fewer
            hidden points are missed. It need not be a full sweep; in pre-training it is what
            SamplePoints has left.
        occlusion: drops hidden points; None keeps them.

    Returns:
        Pixels (B, V, N, 2) in the augmented images, depth (B, V, N) in metres, and the boolean
        visibility (B, V, N).
    """
    homogeneous = transform_points(points[:, None], lidar2img)
    ori_pixels, depth = _divide_by_depth(homogeneous)
    pixels = _augment_pixels(homogeneous, img_aug_matrix)
    mask = visible(ori_pixels, depth, ori_shape)
    mask &= visible(pixels, depth, img_shape)
    if occlusion is not None:
        # In the original image, where the depth buffer has one known resolution.
        surface = project(cloud[:, None], lidar2img)
        mask &= ~hidden(ori_pixels, depth, *surface, ori_shape, occlusion)
    return pixels, depth, mask


def _augment_pixels(homogeneous: Tensor, img_aug_matrix: Tensor) -> Tensor:
    """Pixels (..., N, 2) after an ``img_aug_matrix`` (..., 4, 4) of either form.

    No form has a translation before the division by depth, so the last column can be added after it:
    no branch, and no synchronisation to look at the matrix.
    """
    linear = torch.cat([img_aug_matrix[..., :3], torch.zeros_like(img_aug_matrix[..., 3:])], dim=-1)
    pixels, _ = _divide_by_depth(transform_points(homogeneous, linear))
    return pixels + img_aug_matrix[..., None, :2, 3]


class BilinearSamples(NamedTuple):
    """K places in feature maps, whose features are not yet computed: weighted means of four cells each.

    Attributes:
        cells: (R, C), features of all cells of all maps.
        corners: (K, 4), the rows of ``cells`` around each place.
        weights: (K, 4), of those rows; they sum to one.
    """
    cells: Tensor
    corners: Tensor
    weights: Tensor

    def features(self) -> Tensor:
        """(K, C), in the more precise of the two dtypes."""
        dtype = torch.promote_types(self.cells.dtype, self.weights.dtype)
        return F.embedding_bag(self.corners, self.cells.to(dtype), mode='sum',
                               per_sample_weights=self.weights.to(dtype))

    def through(self, linear: Callable[[Tensor], Tensor]) -> Tensor:
        """``linear(features())`` of a linear layer, which also commutes with means: it runs on what is fewer."""
        if len(self.corners) <= len(self.cells):
            return linear(self.features())
        return self._replace(cells=linear(self.cells)).features()


def bilinear_samples(feature_maps: Tensor, image: Tensor, pixels: Tensor,
                     input_shape: Sequence[int]) -> BilinearSamples:
    """Where image pixels lie in feature maps; outside, on the border.

    Pixel u lies at index ``(u + 0.5) / stride - 0.5`` of the map, stride = input width / map width.

    Args:
        feature_maps: (I, C, h, w).
        image: (K,) long, the map of each pixel.
        pixels: (K, 2) as (u, v), in the network's input image.
        input_shape: height and width of that input image, padding included.
    """
    height, width = feature_maps.shape[-2:]
    # Half-precision coordinates would be whole pixels off, and single-precision weights of features in double precision
    # would not sum to one in it.
    pixels = pixels.to(torch.promote_types(torch.promote_types(pixels.dtype, torch.float32), feature_maps.dtype))
    places = []
    for axis, size in enumerate((width, height)):
        place = ((pixels[:, axis] + 0.5) * (size / input_shape[1 - axis]) - 0.5).clamp(0, size - 1)
        first = place.floor()
        # The last cell is its own neighbour, with weight 0.
        rows = torch.stack([first, (first + 1).clamp(max=size - 1)], dim=1).long()
        places.append((rows, torch.stack([first + 1 - place, place - first], dim=1)))
    (column, along), (row, down) = places
    first_cell = (image * (height * width))[:, None, None]
    return BilinearSamples(feature_maps.flatten(2).transpose(1, 2).flatten(0, 1),
                           (first_cell + row[:, :, None] * width + column[:, None]).flatten(1),
                           (down[:, :, None] * along[:, None]).flatten(1))


def sample_features(feature_map: Tensor, pixels: Tensor, input_shape: Sequence[int]) -> Tensor:
    """Bilinear sample of a feature map at image pixels; outside, the border's value.

    Args:
        feature_map: (B, C, h, w).
        pixels: (B, N, 2) as (u, v), in the network's input image.
        input_shape: height and width of that input image, padding included.

    Returns:
        (B, N, C), in the more precise of the two dtypes.
    """
    image = torch.arange(len(pixels), device=pixels.device).repeat_interleave(pixels.shape[1])
    samples = bilinear_samples(feature_map, image, pixels.flatten(0, 1), input_shape)
    return samples.features().unflatten(0, pixels.shape[:2])


def forward_axis(lidar2img: np.ndarray) -> np.ndarray:
    """Which horizontal axis of the LiDAR points ahead, told from where the cameras look on average.

    A rig that looks all around still looks ahead more than back (nuScenes: three of six cameras within 60
    degrees). One that looks nowhere on average is taken to have x ahead.

    Args:
        lidar2img: (V, 4, 4) of all cameras of a frame.

    Returns:
        (2,): +-1 for one of x and y, 0 for the other.
    """
    optical_axes = lidar2img[:, 2, :3] / np.linalg.norm(lidar2img[:, 2, :3], axis=1, keepdims=True)
    mean = optical_axes[:, :2].mean(axis=0)
    if np.abs(mean).max() < 0.01:
        return np.array([1.0, 0.0])
    return np.sign(mean) * (np.arange(2) == np.abs(mean).argmax())


def check_invertible(matrix: np.ndarray, name: str) -> None:
    """Raise a DataError that calls them ``name`` if matrices (..., n, n) have no inverse."""
    if not np.isfinite(matrix).all():
        raise DataError(f'{name} holds NaN or infinity:\n{matrix}')
    # How long the translation of an affine matrix is does not matter: in map coordinates it is millions of metres.
    if matrix.shape[-1] == 4 and np.all(matrix[..., 3, :] == [0, 0, 0, 1]):
        matrix = matrix[..., :3, :3]
    with np.errstate(all='ignore'):
        # Not for NaN either, which numbers give that are too large.
        is_regular = not matrix.size or np.linalg.cond(matrix).max() <= 1e12
    if not is_regular:
        raise DataError(f'{name} is singular and cannot be inverted:\n{matrix}')


def invert_matrix(matrix: Array, name: str) -> Array:
    """Inverse of square matrices (..., n, n), as numpy array or tensor like the input.

    Raises:
        DataError: a matrix is singular or not finite; the message calls it ``name``.
    """
    if isinstance(matrix, Tensor):
        # In numpy: the check costs a synchronisation anyway, and these matrices are tiny.
        array = matrix.detach().cpu().double().numpy()
        return torch.as_tensor(invert_matrix(array, name)).to(matrix)
    matrix = np.asarray(matrix, dtype=np.float64)
    check_invertible(matrix, name)
    return np.linalg.inv(matrix)


def to_4x4(matrix: np.ndarray, name: str = 'matrix') -> np.ndarray:
    """Embed a 3x3, 3x4 or 4x4 matrix in the upper left of the 4x4 identity, as float64.

    Raises:
        DataError: It has another shape, or holds something else than numbers; the message calls it ``name``.
    """
    try:
        matrix = np.asarray(matrix, dtype=np.float64)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise DataError(f'{name}: expected a 3x3, 3x4 or 4x4 matrix of numbers, but {shown(str(error))}') from None
    if matrix.shape not in ((3, 3), (3, 4), (4, 4)):
        raise DataError(f'{name}: expected a 3x3, 3x4 or 4x4 matrix, got shape {matrix.shape}')
    full = np.eye(4)
    full[:matrix.shape[0], :matrix.shape[1]] = matrix
    return full


def normalize_depth(projection: np.ndarray) -> np.ndarray:
    """A projection that is known up to a positive factor, scaled so that it gives depth in metres.

    Depth is the distance along the camera's axis, so the first three entries of the third row have length 1.
    Calibration tools that fit the whole matrix leave it with another length; pixels do not depend on that.

    Args:
        projection: (4, 4), ``lidar2img`` or ``cam2img``.

    Returns:
        (4, 4); the same if the length is 1 to three digits, which rounded numbers give.
    """
    length = np.linalg.norm(projection[2, :3])
    if abs(length - 1) < 1e-3:
        return projection
    return np.vstack([projection[:3] / length, [0, 0, 0, 1]])


def camera_centre(lidar2img: np.ndarray) -> np.ndarray:
    """(3,) position in the LiDAR frame of the camera with that (4, 4) projection."""
    return -np.linalg.solve(lidar2img[:3, :3], lidar2img[:3, 3])


def resize_matrix(scale_x: float, scale_y: float) -> np.ndarray:
    """Image resize, ``u' = (u + 0.5) * scale_x - 0.5``, as cv2.resize does."""
    return _image_matrix(scale_x, scale_y, (scale_x - 1) / 2, (scale_y - 1) / 2)


def crop_matrix(x0: float, y0: float) -> np.ndarray:
    """Image crop whose top-left pixel is (x0, y0)."""
    return _image_matrix(1, 1, -x0, -y0)


def flip_matrix(width: int) -> np.ndarray:
    """Left-right flip of an image of that width, ``u' = width - 1 - u``."""
    return _image_matrix(-1, 1, width - 1, 0)


def is_mirrored(img_aug_matrix: np.ndarray) -> np.ndarray:
    """(...) bool: whether images are seen as in a mirror after ``img_aug_matrix`` (..., 4, 4)."""
    return np.linalg.det(img_aug_matrix[..., :2, :2]) < 0


def image_rotation_matrix(angle: float, height: int, width: int) -> np.ndarray:
    """Clockwise rotation (as seen; radians) of an image about its centre."""
    rotation = np.eye(4)
    rotation[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    x, y = (width - 1) / 2, (height - 1) / 2
    return crop_matrix(-x, -y) @ rotation @ crop_matrix(x, y)


def _image_matrix(scale_x: float, scale_y: float, shift_x: float, shift_y: float) -> np.ndarray:
    matrix = np.eye(4)
    matrix[0, 0], matrix[1, 1] = scale_x, scale_y
    matrix[0, 2], matrix[1, 2] = shift_x, shift_y
    return matrix


def rotation_matrix(angle: float, axis: str = 'z') -> np.ndarray:
    """Right-handed rotation of points by ``angle`` radians about the x, y or z axis."""
    i, j = {'x': (1, 2), 'y': (2, 0), 'z': (0, 1)}[axis]
    matrix = np.eye(4)
    matrix[i, i] = matrix[j, j] = np.cos(angle)
    matrix[j, i] = np.sin(angle)
    matrix[i, j] = -matrix[j, i]
    return matrix


def scaling_matrix(scale: float) -> np.ndarray:
    """Uniform scaling of points about the origin."""
    return np.diag([scale, scale, scale, 1.0])


def mirror_matrix(axis: str) -> np.ndarray:
    """Mirror points along an axis: 'y' turns left into right (``y' = -y``)."""
    diagonal = np.ones(4)
    diagonal['xyz'.index(axis)] = -1
    return np.diag(diagonal)


def translation_matrix(shift: Sequence[float]) -> np.ndarray:
    """Translation of points by (x, y, z) metres."""
    matrix = np.eye(4)
    matrix[:3, 3] = shift
    return matrix


def about_centre(matrix: np.ndarray, centre: Sequence[float]) -> np.ndarray:
    """The same transform of points, about ``centre`` (x, y, z) instead of the origin."""
    centre = np.asarray(centre, dtype=np.float64)
    return translation_matrix(centre) @ matrix @ translation_matrix(-centre)
