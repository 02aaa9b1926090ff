"""What every converter does: go through frames in parallel, check files, write an info file."""
import hashlib
import math
import os
import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...errors import DataError
from ...files import open_regular, shown, write_whole
from ...geometry import MAX_CAMERA_DISTANCE, check_invertible, to_4x4
from ...parallel import map_processes
from ...progress import Progress
from ..readers import CloudLayout, check_cloud_file, check_image_file
from .finished_parts import FinishedParts

PathLike = str | Path
FRAMES_PER_CHUNK = 16
ROTATION_TOLERANCE = 0.01


class ConvertedSplit(NamedTuple):
    """What was written for one split."""
    info_file: Path
    num_frames: int
    clouds: str  # folder the clouds are in, relative to the data root
    left_out: tuple[str, ...] = ()  # of the whole data set: what it lists but lacks, in words
    remarks: tuple[str, ...] = ()  # what was assumed or chosen, in words


class Subset:
    """Which part of a data set to convert, as for an ablation over the amount of data.

    Args:
        every: Every n-th frame of each scene, from its first on.
        scenes: Share of the scenes (drives, sequences), evenly spread; at least one is taken.
    """

    def __init__(self, every: int = 1, scenes: float = 1.0) -> None:
        if every < 1 or not 0 < scenes <= 1:
            raise DataError(f'expected --every >= 1 and 0 < --scenes <= 1, got {every} and '
                            f'{scenes}')
        self.every = every
        self.scenes = scenes

    def of_frames(self, frames: Sequence) -> list:
        """The frames to take of one scene."""
        return list(frames[::self.every])

    def of_scenes(self, scenes: Sequence) -> list:
        """The scenes to take."""
        return spread(scenes, self.scenes)


def spread(items: Sequence, share: float) -> list:
    """``share`` of the items, rounded up and evenly spread, the first one among them."""
    count = math.ceil(share * len(items) - 1e-9)
    return [items[i * len(items) // count] for i in range(count)]


def write_split(info_file: PathLike,
                convert: Callable[..., dict],
                frames: Sequence,
                clouds: str,
                inputs: Callable[..., Iterable[Path]],
                num_workers: int | None = None,
                **metainfo) -> ConvertedSplit:
    """Write the info file of ``convert(frame)`` for all frames, in order.

    The frames are dealt out to processes in chunks, and progress is shown. What an interrupted run has finished
    is kept beside the info file, and used when the same frames are converted again from files that have not
    changed since; the info file itself appears as a whole or not at all.

    Args:
        info_file: To be written.
        convert: A function (or ``functools.partial``) of a module, from a frame to its info.
        frames: Whatever ``convert`` needs to know of each frame; picklable.
        clouds: Folder of the clouds, for the report.
        inputs: Likewise a function, from a frame to the files that ``convert`` reads for it.
        num_workers: Number of processes; None: one for each available core.
        metainfo: Of the info file.

    Raises:
        DataError: Of ``convert``; nothing is kept then, as data have to be mended.
        OutputError: The info file, or what is kept beside it, cannot be written.
    """
    info_file = Path(info_file)
    parts = FinishedParts(info_file.with_name(f'.{info_file.name}.parts'), inputs)
    parts.claim(hashlib.sha1(pickle.dumps((convert, list(frames)))).hexdigest())
    try:
        _convert_chunks(convert, parts, frames, num_workers)
    except DataError:
        parts.remove()
        raise
    data_list = [info for number, _ in _chunks(frames) for info in parts.read(number)]
    write_whole(info_file, pickle.dumps(dict(metainfo=dict(info_version='1.1', **metainfo), data_list=data_list)))
    parts.remove()
    return ConvertedSplit(info_file, len(data_list), clouds)


def _chunks(frames: Sequence) -> Iterator[tuple[int, Sequence]]:
    for start in range(0, len(frames), FRAMES_PER_CHUNK):
        yield start, frames[start:start + FRAMES_PER_CHUNK]


def _convert_chunk(convert: Callable[..., dict], parts: FinishedParts, chunk: tuple[int, Sequence]) -> int:
    number, frames = chunk
    parts.write(number, frames, [convert(frame) for frame in frames])
    return len(frames)


def _convert_chunks(convert: Callable[..., dict], parts: FinishedParts, frames: Sequence,
                    num_workers: int | None) -> None:
    todo = [chunk for chunk in _chunks(frames) if not parts.is_finished(*chunk)]
    finished = len(frames) - sum(len(chunk) for _, chunk in todo)
    if finished:
        print(f'{finished} frames were converted by an interrupted run')
    progress = Progress(len(frames) - finished)
    convert_chunk = partial(_convert_chunk, convert, parts)
    num_workers = min(num_workers or len(os.sched_getaffinity(0)), len(todo))
    if num_workers < 2:
        for chunk in todo:
            progress.update(convert_chunk(chunk))
    else:
        for count in map_processes(convert_chunk, todo, num_workers):
            progress.update(count)
    progress.close()


def require_folder(path: PathLike, expected: str) -> Path:
    """The path; raises a DataError that says what is ``expected`` if it is no folder."""
    path = Path(path)
    if not path.is_dir():
        raise DataError(f'{path} is not a folder; expected {expected}')
    return path


def image_size(path: PathLike, named_by: str, apply_exif: bool = False) -> dict:
    """``dict(height, width)`` of an image, from its header; its end is looked at too.

    Args:
        path: Of the image.
        named_by: Who asked for it, for messages.
        apply_exif: Whether it is going to be turned as its EXIF orientation says.

    Raises:
        DataError: The image is missing, is none, or ends early.
    """
    require_file(path, named_by)
    header = check_image_file(str(path))
    height, width = header.upright_size if apply_exif else (header.height, header.width)
    return dict(height=height, width=width)


def check_point_file(path: PathLike, num_feats: int | None, named_by: str, dtype: str = 'float32') -> int:
    """The values per point of a cloud, after a look at a sample of its numbers.

    Args:
        path: Of the cloud.
        num_feats: Values per point that it must have; None: unknown (4 in files that do not say it).
        named_by: Who asked for it, for messages.
        dtype: Of the numbers in files that do not say it (``.bin``).

    Raises:
        DataError: The file is missing, damaged, has another layout or holds numbers that no LiDAR gives.
    """
    require_file(path, named_by)
    return check_cloud_file(str(path), CloudLayout(num_feats, dtype))


def require_file(path: PathLike, named_by: str) -> None:
    """Raise a DataError if the file, which ``named_by`` lists, is missing or no regular file."""
    if os.path.exists(path):
        open_regular(path).close()
    else:
        raise DataError(f'no file {shown(path)} for a frame of {named_by}; paths are relative to --root-path. Complete '
                        'the data set, or take the frame off that list')


def field(content: dict, key: str, kind: type | tuple[type, ...], where: str | Path):
    """``content[key]``, which is of that kind.

    Raises:
        DataError: ``content`` is no dict, lacks the key, or has something else there; names ``where``.
    """
    value = content.get(key) if isinstance(content, dict) else None
    if not isinstance(value, kind) or isinstance(value, bool) and kind is not bool:
        kinds = ' or '.join(kind.__name__ for kind in (kind if isinstance(kind, tuple) else (kind, )))
        found = type(content).__name__
        if isinstance(content, dict):
            found = ', '.join(map(str, content)) or 'nothing'
            found = f'{key} = {shown(content[key], 60)}' if key in content else shown(found)
        raise DataError(f'{where}: expected the field {key} ({kinds}), found {found}; restore the original file')
    return value


def camera_info(img_path: str, size: dict, cam2img: np.ndarray, lidar2cam: np.ndarray,
                **further) -> dict:
    """One image of a frame as info files have it; matrices (4, 4) as nested lists.

    Raises:
        DataError: ``lidar2cam`` is no pose that a camera can have beside a LiDAR.
    """
    rotation = lidar2cam[:3, :3]
    if not np.allclose(rotation.T @ rotation, np.eye(3), atol=ROTATION_TOLERANCE) or np.linalg.det(rotation) < 0:
        raise DataError(f'{img_path}: the rotation from LiDAR to camera is none:\n{rotation}\nexpected columns of '
                        'length 1 at right angles. Restore the original calibration')
    distance = np.linalg.norm(lidar2cam[:3, 3])
    if not distance < MAX_CAMERA_DISTANCE:
        raise DataError(f'{img_path}: by its calibration, the camera is {distance:.6g} m from the LiDAR; expected less '
                        f'than {MAX_CAMERA_DISTANCE:g} m. Restore the original calibration')
    matrices = dict(cam2img=cam2img, lidar2cam=lidar2cam, lidar2img=cam2img @ lidar2cam)
    return dict(img_path=img_path, **size, **further,
                **{name: matrix.tolist() for name, matrix in matrices.items()})


def invertible_4x4(matrix: np.ndarray, name: str, path: PathLike) -> np.ndarray:
    """``matrix`` as 4x4; a DataError that names it and ``path`` if it has no inverse."""
    try:
        matrix = to_4x4(matrix, name)
        check_invertible(matrix, name)
    except ValueError as error:
        raise DataError(f'{path}: {error}\nRestore the original calibration') from None
    return matrix
