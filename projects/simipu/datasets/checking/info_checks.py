"""Checks of an info file alone: calibration matrices, duplicate frames, time stamps."""
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from ...geometry import to_4x4
from ..converters.common import ROTATION_TOLERANCE
from ..converters.image_sizes import is_too_short
from .depth_edges import split_projection
from .report import Finding

PIXEL_TOLERANCE = 1.0
SCALE_TOLERANCE = 1e-3
MIN_SIZE_FACTOR = 1.2
GAP_FACTOR = 2.5
MAX_TIME_OFFSET = 0.1  # seconds between an image and its cloud: one turn of a LiDAR


def check_calibration(index: int, images: dict) -> Iterator[Finding]:
    """Whether each camera's matrices are what a real, rigidly mounted camera has.

    Args:
        index: Position of the frame.
        images: The frame's ``images`` of the info file.
    """
    for name, image in images.items():
        for problem in _calibration_problems(image):
            yield Finding('calibration', f'frame {index}, {name}: {problem}', index, name)


def describe_depth_scales(infos: Sequence[dict]) -> list[str]:
    """A note where ``lidar2img`` is known up to a factor, which is no fault here.

    Args:
        infos: Of the frames that can be read; those of others are empty.
    """
    scales = {(index, name): np.linalg.norm(_lidar2img(image)[2, :3])
              for index, info in enumerate(infos) for name, image in info.get('images', {}).items()}
    scaled = {place: scale for place, scale in scales.items() if abs(scale - 1) > SCALE_TOLERANCE}
    if not scaled:
        return []
    (index, name), scale = next(iter(scaled.items()))
    return [f'lidar2img of {len(scaled)} of {len(scales)} images is known up to a factor (frame {index}, {name}: its '
            f'third row has length {scale:.6g}); its first three rows are divided by that when it is read, so that '
            'depths are in metres. Other programs may not do so']


def check_principal_point(camera: str, lidar2img: np.ndarray, size: Sequence[int]) -> Iterator[Finding]:
    """Whether the calibration is that of a larger or smaller image.

    The optical axis meets an image near its middle; if it is off by one factor in both directions, the
    images were scaled and the calibration was not.

    Args:
        camera: Name.
        lidar2img: (4, 4).
        size: Height and width of the image as it is.
    """
    intrinsics, _ = split_projection(lidar2img)
    height, width = size
    factors = 2 * intrinsics[:2, 2] / (width, height)
    scaled = (factors > MIN_SIZE_FACTOR).all() or (factors < 1 / MIN_SIZE_FACTOR).all()
    if scaled and factors.min() > 0 and factors.max() < 1.25 * factors.min():
        factor = float(factors.mean())
        yield Finding('size', f'{camera}: the image of {width} x {height} pixels has another size than the '
                      f'calibration: the principal point ({intrinsics[0, 2]:.0f}, {intrinsics[1, 2]:.0f}) is that '
                      f'of an image about {factor:.2g} times as large. Multiply the first two rows of cam2img (or '
                      f'of lidar2img) by the factor that the images were scaled by, about {1 / factor:.2g}',
                      camera=camera)


def check_focal_length(camera: str, lidar2img: np.ndarray, size: Sequence[int]) -> Iterator[Finding]:
    """Whether the intrinsics are in pixels; arguments as in ``check_principal_point``."""
    intrinsics, _ = split_projection(lidar2img)
    focal_x, focal_y = intrinsics[0, 0], intrinsics[1, 1]
    height, width = size
    if is_too_short(focal_x, width) or is_too_short(focal_y, height):
        yield Finding('units', f'{camera}: focal lengths of {focal_x:.4g} and {focal_y:.4g} for an image of {width} x '
                      f'{height} pixels, shorter than those of any camera. Give cam2img in pixels, not in millimetres '
                      'or as shares of the image', camera=camera)


def _lidar2img(image: dict) -> np.ndarray:
    if 'lidar2img' in image:
        return to_4x4(image['lidar2img'], 'lidar2img')
    return to_4x4(image['cam2img'], 'cam2img') @ to_4x4(image['lidar2cam'], 'lidar2cam')


def _calibration_problems(image: dict) -> Iterator[str]:
    if 'lidar2cam' in image:
        yield from _rigid_problems(to_4x4(image['lidar2cam'], 'lidar2cam'))
    lidar2img = _lidar2img(image)
    if {'lidar2img', 'cam2img', 'lidar2cam'} <= image.keys():
        yield from _product_problems(lidar2img, to_4x4(image['cam2img'], 'cam2img')
                                     @ to_4x4(image['lidar2cam'], 'lidar2cam'))
    yield from _projection_problems(lidar2img, image)


def _rigid_problems(matrix: np.ndarray) -> Iterator[str]:
    rotation = matrix[:3, :3]
    error = np.abs(rotation.T @ rotation - np.eye(3)).max()
    if error > ROTATION_TOLERANCE:
        yield (f'the upper left 3x3 of lidar2cam is not orthonormal (error {error:.2g}, at most '
               f'{ROTATION_TOLERANCE:g} allowed), so it is no rotation')
    elif np.linalg.det(rotation) < 0:
        yield 'lidar2cam mirrors (determinant -1): an axis is inverted, or two are swapped'
    if not np.allclose(matrix[3], [0, 0, 0, 1]):
        yield (f'the last row of lidar2cam is {matrix[3].tolist()}, not 0 0 0 1: the matrix may be '
               'transposed')


def _product_problems(lidar2img: np.ndarray, product: np.ndarray) -> Iterator[str]:
    """Compares where both put points that the first one sees."""
    corners = np.array([[u * d, v * d, d, 1] for u in (0, 1000) for v in (0, 500) for d in (5, 50)])
    points = corners @ np.linalg.inv(lidar2img).T
    projected = points @ product.T
    with np.errstate(all='ignore'):
        distance = np.abs(projected[:, :2] / projected[:, 2:3] - corners[:, :2] / corners[:, 2:3])
    if not distance.max() < PIXEL_TOLERANCE:
        yield (f'lidar2img and cam2img @ lidar2cam project up to {distance.max():.3g} pixels '
               'apart; they must be the same')


def _projection_problems(lidar2img: np.ndarray, image: dict) -> Iterator[str]:
    intrinsics, lidar2cam = split_projection(lidar2img)
    if np.linalg.det(lidar2cam[:3, :3]) < 0:
        yield 'lidar2img mirrors: an axis is inverted, or two are swapped'
    focal_x, focal_y = intrinsics[0, 0], intrinsics[1, 1]
    if not 0.5 < focal_x / focal_y < 2:
        yield (f'lidar2img has focal lengths {focal_x:.4g} and {focal_y:.4g} pixels; no camera has '
               'so different ones. A matrix may be transposed, or two may be multiplied in the '
               'wrong order')
    if abs(intrinsics[0, 1]) > 0.1 * focal_x:
        yield (f'lidar2img has a skew of {intrinsics[0, 1]:.4g} pixels; cameras have none. A '
               'matrix may be transposed, or two may be multiplied in the wrong order')
    height, width = image.get('height'), image.get('width')
    centre = intrinsics[:2, 2]
    if height and width and not (0 < centre[0] < width and 0 < centre[1] < height):
        yield (f'the principal point ({centre[0]:.0f}, {centre[1]:.0f}) lies outside the image of '
               f'{width} x {height} pixels: the calibration of another camera or image size')


def check_duplicates(frames: dict[int, dict]) -> Iterator[Finding]:
    """Files that belong to more than one frame (or camera) of the info file.

    Args:
        frames: By position in the info file, frames as ``PairedDataset`` parses them.
    """
    owners = defaultdict(list)
    for index, frame in frames.items():
        owners[frame['lidar_path']].append((index, None))
        for name, path in zip(frame['cam_names'], frame['img_path']):
            owners[path].append((index, name))
    for path, places in owners.items():
        if len(places) > 1:
            listed = ', '.join(str(index) for index, _ in places[:5])
            yield Finding('duplicate', f'{path} belongs to {len(places)} frames or cameras (frames '
                          f'{listed}{" ..." if len(places) > 5 else ""}); remove all but one',
                          *places[1])


def check_intrinsics_and_sizes(infos: Sequence[dict]) -> Iterator[Finding]:
    """The same camera with the same intrinsics, but images of another size than most.

    A camera's images all have one size, so the calibration is that of another drive or camera. In
    KITTI's object set, whose drives have five calibrations and five sizes, nothing else tells such
    a mistake: they differ by less than one degree.

    Args:
        infos: The info file's ``data_list``; images without ``height`` and ``width`` are left out.
    """
    groups = defaultdict(lambda: defaultdict(list))
    for index, info in enumerate(infos):
        for name, image in info.get('images', {}).items():
            if image.get('height') and image.get('width') and 'lidar2img' in image:
                intrinsics, _ = split_projection(to_4x4(image['lidar2img'], 'lidar2img'))
                key = (name, *np.round(intrinsics[:2].ravel(), 1))
                groups[key][image['width'], image['height']].append(index)
    for (name, *_), sizes in groups.items():
        usual = max(sizes, key=lambda size: len(sizes[size]))
        for size, frames in sizes.items():
            if size != usual:
                yield Finding('calibration', f'frame {frames[0]}, {name}: an image of {size[0]} x '
                              f'{size[1]} pixels with the intrinsics of images of {usual[0]} x '
                              f'{usual[1]} ({len(frames)} such frames): another drive\'s '
                              'calibration', frames[0], name)


def check_time_stamps(infos: Sequence[dict]) -> Iterator[Finding]:
    """Repeats within sequences, and images far in time from their cloud.

    Args:
        infos: The info file's ``data_list``; frames without ``timestamp`` (seconds) or, for
            repeats, ``sequence`` are left out.
    """
    for index, info in enumerate(infos):
        if info.get('timestamp') is not None:
            yield from _check_image_times(index, info)
    for name, times, indices in _sequences(infos):
        for position in np.flatnonzero(np.diff(times) == 0):
            yield Finding('time stamps', f'frame {indices[position + 1]}: the same time stamp as frame '
                          f'{indices[position]} of sequence {name}', indices[position + 1])


def describe_gaps(infos: Sequence[dict]) -> Iterator[str]:
    """One sentence for each sequence in which frames are missing.

    That is no fault: published drives have gaps, too (KITTI's 2011_09_26_drive_0009 lacks four clouds), and every
    frame is learned from by itself. It may come from a copy that was cut short, though.
    """
    for name, times, indices in _sequences(infos):
        steps = np.diff(times)
        usual = np.median(steps) if len(steps) else 0.0
        gaps = np.flatnonzero(steps > GAP_FACTOR * usual) if usual > 0 else []
        if len(gaps):
            yield (f'sequence {name}: frames are missing in {len(gaps)} place(s); the first is before frame '
                   f'{indices[gaps[0] + 1]}, {steps[gaps[0]]:.3g} s after the one before it, where {usual:.3g} s '
                   'are usual')


def _sequences(infos: Sequence[dict]) -> Iterator[tuple[str, np.ndarray, list[int]]]:
    """Name, time stamps in rising order and frame numbers of each sequence."""
    sequences = defaultdict(list)
    for index, info in enumerate(infos):
        if info.get('timestamp') is not None and info.get('sequence') is not None:
            sequences[info['sequence']].append((info['timestamp'], index))
    for name, stamps in sequences.items():
        times, indices = zip(*sorted(stamps), strict=True)
        yield name, np.array(times), list(indices)


def _check_image_times(index: int, info: dict) -> Iterator[Finding]:
    for name in info.get('images', {}):
        offset = time_offset(info, name)
        if abs(offset) > MAX_TIME_OFFSET:
            yield Finding('time stamps', f'frame {index}, {name}: the image was taken {abs(offset):.3g} s '
                          f'{"after" if offset > 0 else "before"} the cloud, more than {MAX_TIME_OFFSET} s: '
                          'pixels and points of what moves do not match. Pair each cloud with the nearest image',
                          index, name)


def time_offset(info: dict, camera: str) -> float:
    """Seconds from a frame's cloud to the image of a camera; 0 where the info file does not say."""
    stamps = info.get('timestamp'), info['images'][camera].get('timestamp')
    return 0.0 if None in stamps else stamps[1] - stamps[0]
