"""What every converter does: go through frames in parallel, check files, write an info file."""
import hashlib
import math
import multiprocessing
import os
import pickle
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import mmengine
import numpy as np
from PIL import Image, UnidentifiedImageError

from ...errors import DataError
from ...geometry import check_invertible, to_4x4

PathLike = str | Path
FRAMES_PER_CHUNK = 16


class ConvertedSplit(NamedTuple):
    """What was written for one split."""
    info_file: Path
    num_frames: int
    clouds: str  # folder the clouds are in, relative to the data root
    left_out: tuple[str, ...] = ()  # of the whole data set: what it lists but lacks, in words


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
                num_workers: int | None = None,
                **metainfo) -> ConvertedSplit:
    """Write the info file of ``convert(frame)`` for all frames, in order.

    The frames are dealt out to processes in chunks, with a progress bar. What an interrupted run has
    finished is kept beside the info file and used when the same is converted again; the info file
    itself appears as a whole or not at all.

    Args:
        info_file: To be written.
        convert: A function (or ``functools.partial``) of a module, from a frame to its info.
        frames: Whatever ``convert`` needs to know of each frame; picklable.
        clouds: Folder of the clouds, for the report.
        num_workers: Number of processes; None: one for each available core.
        metainfo: Of the info file.

    Raises:
        DataError: Of ``convert``; nothing is kept then, as data have to be mended.
    """
    info_file = Path(info_file)
    parts = info_file.with_name(f'.{info_file.name}.parts')
    _claim_parts(parts, hashlib.sha1(pickle.dumps((convert, list(frames)))).hexdigest())
    try:
        _convert_chunks(partial(_convert_chunk, convert, parts), parts, frames, num_workers)
    except DataError:
        shutil.rmtree(parts)
        raise
    data_list = [info for number, _ in _chunks(frames)
                 for info in mmengine.load(_part(parts, number))]
    dump_whole(dict(metainfo=dict(info_version='1.1', **metainfo), data_list=data_list), info_file)
    shutil.rmtree(parts)
    return ConvertedSplit(info_file, len(data_list), clouds)


def dump_whole(content, path: Path) -> None:
    """Write a pickle; an interrupted run leaves no half file behind."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        unfinished = Path(folder) / path.name
        mmengine.dump(content, unfinished)
        os.replace(unfinished, path)


def _claim_parts(parts: Path, key: str) -> None:
    """Make the folder of finished chunks; results of another conversion are thrown away."""
    key_file = parts / 'key.txt'
    if parts.exists() and not (key_file.is_file() and key_file.read_text() == key):
        shutil.rmtree(parts)
    parts.mkdir(parents=True, exist_ok=True)
    key_file.write_text(key)


def _chunks(frames: Sequence) -> Iterator[tuple[int, Sequence]]:
    for start in range(0, len(frames), FRAMES_PER_CHUNK):
        yield start, frames[start:start + FRAMES_PER_CHUNK]


def _part(parts: Path, number: int) -> Path:
    return parts / f'{number:09d}.pkl'


def _convert_chunk(convert: Callable, parts: Path, chunk: tuple[int, Sequence]) -> int:
    number, frames = chunk
    dump_whole([convert(frame) for frame in frames], _part(parts, number))
    return len(frames)


def _convert_chunks(convert_chunk: Callable, parts: Path, frames: Sequence,
                    num_workers: int | None) -> None:
    todo = [chunk for chunk in _chunks(frames) if not _part(parts, chunk[0]).is_file()]
    progress = mmengine.ProgressBar(len(frames))
    finished = len(frames) - sum(len(chunk) for _, chunk in todo)
    if finished:
        print(f'\n{finished} frames were converted by an interrupted run')
        progress.update(finished)
    num_workers = min(num_workers or len(os.sched_getaffinity(0)), len(todo))
    if num_workers < 2:
        for chunk in todo:
            progress.update(convert_chunk(chunk))
    else:
        with multiprocessing.Pool(num_workers) as pool:
            for count in pool.imap_unordered(convert_chunk, todo):
                progress.update(count)
    print()


def require_folder(path: PathLike, expected: str) -> Path:
    """The path; raises a DataError that says what is ``expected`` if it is no folder."""
    path = Path(path)
    if not path.is_dir():
        raise DataError(f'{path} is not a folder; expected {expected}')
    return path


def image_size(path: PathLike, named_by: str) -> dict:
    """``dict(height, width)`` of an image, from its header alone.

    Raises:
        DataError: The image is missing (``named_by`` says who asked for it) or is none.
    """
    require_file(path, named_by)
    try:
        with Image.open(path) as image:
            return dict(height=image.height, width=image.width)
    except UnidentifiedImageError:
        raise DataError(f'{path}: expected an image, but it has no image header; copy the file '
                        'again') from None


def check_point_file(path: PathLike, num_feats: int, named_by: str) -> None:
    """Raise a DataError if the file does not hold whole points of ``num_feats`` float32 values."""
    require_file(path, named_by)
    size, point_size = os.path.getsize(path), 4 * num_feats
    if size == 0 or size % point_size:
        raise DataError(f'{path}: {size} bytes; expected a positive multiple of {point_size} '
                        f'({num_feats} float32 values a point). The file is empty or truncated; '
                        'copy it again')


def require_file(path: PathLike, named_by: str) -> None:
    """Raise a DataError if the file, which ``named_by`` lists, is missing."""
    if not os.path.isfile(path):
        raise DataError(f'no file {path} for a frame of {named_by}; complete the data set, or take '
                        'the frame off that list')


def camera_info(img_path: str, size: dict, cam2img: np.ndarray, lidar2cam: np.ndarray,
                **further) -> dict:
    """One image of a frame as info files have it; matrices (4, 4) as nested lists."""
    matrices = dict(cam2img=cam2img, lidar2cam=lidar2cam, lidar2img=cam2img @ lidar2cam)
    return dict(img_path=img_path, **size, **further,
                **{name: matrix.tolist() for name, matrix in matrices.items()})


def read_key_values(path: PathLike, named_by: str) -> dict[str, str]:
    """Lines ``key: value`` of a calibration file.

    Raises:
        DataError: The file is missing.
    """
    require_file(path, named_by)
    lines = (line.partition(':') for line in Path(path).read_text().splitlines())
    return {key.strip(): value.strip() for key, separator, value in lines if separator}


def read_numbers(values: dict[str, str], key: str, shape: tuple, path: PathLike) -> np.ndarray:
    """The numbers after a key of ``read_key_values``, as float64 array of that shape.

    Raises:
        DataError: There is no such key, or what follows it are not as many numbers; names ``path``.
    """
    if key not in values:
        raise DataError(f'{path}: no {key}; expected a line "{key}:" with {np.prod(shape)} '
                        f'numbers, found {", ".join(values) or "no keys"}. Restore the original '
                        'calibration file')
    try:
        numbers = np.array([float(number) for number in values[key].split()])
    except ValueError:
        raise DataError(f'{path}: expected numbers after "{key}:", found "{values[key]}"; '
                        'restore the original calibration file') from None
    if numbers.size != np.prod(shape):
        raise DataError(f'{path}: {key} has {numbers.size} numbers, expected {np.prod(shape)} '
                        f'({" x ".join(map(str, shape))}); restore the original calibration file')
    return numbers.reshape(shape)


def read_matrix(values: dict[str, str], key: str, shape: tuple, path: PathLike) -> np.ndarray:
    """A 3x3 or 3x4 matrix of ``read_key_values`` as an invertible 4x4.

    Raises:
        DataError: It is missing, malformed or singular.
    """
    return invertible_4x4(read_numbers(values, key, shape, path), key, path)


def invertible_4x4(matrix: np.ndarray, name: str, path: PathLike) -> np.ndarray:
    """``matrix`` as 4x4; a DataError that names it and ``path`` if it has no inverse."""
    try:
        matrix = to_4x4(matrix, name)
        check_invertible(matrix, name)
    except ValueError as error:
        raise DataError(f'{path}: {error}\nRestore the original calibration') from None
    return matrix
