"""What every converter does: go through frames in parallel, and write an info file."""
import os
import tempfile
from pathlib import Path
from typing import Callable, List, Optional, Sequence, Union

import mmengine
import numpy as np
from PIL import Image, UnidentifiedImageError

from ..errors import DataError

PathLike = Union[str, Path]
FRAMES_PER_CHUNK = 16


def convert_frames(convert: Callable,
                   frames: Sequence,
                   num_workers: Optional[int] = None) -> List[dict]:
    """Info of every frame in order, ``convert(frame)``, over processes and with a progress bar.

    ``num_workers`` None means one process for each available core.
    """
    num_workers = min(num_workers or len(os.sched_getaffinity(0)), len(frames) // FRAMES_PER_CHUNK)
    if num_workers < 2:
        return mmengine.track_progress(convert, frames)
    return mmengine.track_parallel_progress(
        convert, frames, num_workers, chunksize=FRAMES_PER_CHUNK)


def write_infos(path: PathLike, data_list: List[dict], **metainfo) -> None:
    """Write an info file in mmdet3d's schema; an interrupted run leaves no half file behind."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        unfinished = Path(folder) / path.name
        infos = dict(metainfo=dict(info_version='1.1', **metainfo), data_list=data_list)
        mmengine.dump(infos, unfinished)
        os.replace(unfinished, path)


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


def read_key_values(path: PathLike, named_by: str) -> dict:
    """Lines ``key: number number ...`` of a calibration file, as 1D float64 arrays.

    Raises:
        DataError: The file is missing, or what follows a key is no list of numbers.
    """
    require_file(path, named_by)
    values = {}
    for line in Path(path).read_text().splitlines():
        key, separator, numbers = line.partition(':')
        if not separator:
            continue
        try:
            values[key.strip()] = np.array([float(number) for number in numbers.split()])
        except ValueError:
            raise DataError(f'{path}: expected numbers after "{key}:", found "{numbers.strip()}"; '
                            'restore the original calibration file') from None
    return values
