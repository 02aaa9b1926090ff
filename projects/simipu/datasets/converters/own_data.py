"""Info files of a user's own data: from dicts in Python, or from a file with one JSON object per line.

A frame is what docs/data_format.md describes; image sizes may be left out, and ``lidar2img`` where
``cam2img`` and ``lidar2cam`` are given.
"""
import json
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from ...errors import DataError
from .common import (
    ConvertedSplit,
    PathLike,
    Subset,
    check_point_file,
    image_size,
    invertible_4x4,
    require_folder,
    write_split,
)

_MATRICES = ('cam2img', 'lidar2cam', 'lidar2img')


class OwnFrame(NamedTuple):
    """A user's frame and how error messages call it."""
    frame: dict
    name: str


def write_infos(frames: Iterable[dict],
                out_file: PathLike,
                root_path: PathLike = '',
                num_workers: int | None = None,
                **metainfo) -> ConvertedSplit:
    """Write the info file of your own frames, after checking each and completing its sizes.

    Args:
        frames: For each frame a dict with

            - ``lidar_points``: ``dict(lidar_path, num_pts_feats)``, a file of float32 values,
              ``num_pts_feats`` a point, of which the first three are x, y, z in metres;
            - ``images``: by camera a dict with ``img_path`` and ``lidar2img`` (4x4), or ``cam2img``
              (3x3, 3x4 or 4x4) and ``lidar2cam`` (4x4);
            - optionally ``sample_idx``, ``timestamp`` (seconds), ``sequence``, and of each image
              ``height``, ``width``, ``timestamp``.

            Paths are relative to ``root_path``. Matrices may be nested lists or arrays.
        out_file: Info file to write, '.../simipu_infos_train.pkl'; its folder is made if need be.
        root_path: Folder of the data, the ``data_root`` of a config.
        num_workers: Number of processes; None: one for each available core.
        metainfo: Whatever you want to keep with it, such as ``dataset='mine'``.

    Raises:
        DataError: A frame lacks something or is malformed, or a file is missing; nothing is written.
    """
    frames = [OwnFrame(frame, f'frame {number}') for number, frame in enumerate(frames)]
    return _write(frames, Path(out_file), root_path, num_workers, metainfo)


def create_jsonl_infos(frames_file: PathLike,
                       root_path: PathLike,
                       out_dir: PathLike,
                       subset: Subset = Subset(),
                       num_workers: int | None = None) -> list[ConvertedSplit]:
    """Write ``out_dir/simipu_infos_<split>.pkl`` from a file with one frame per line, as JSON.

    Args:
        frames_file: Each line is a frame as for :func:`write_infos`, with an optional ``split``
            ('train' if not given).
        root_path: Folder of the data.
        out_dir: Where to write; made if need be.
        subset: Which part to convert; scenes are told apart by ``sequence``.
        num_workers: Number of processes; None: one for each available core.

    Raises:
        DataError: As :func:`write_infos`, or a line is no JSON object.
    """
    splits: dict[str, dict[str, list[OwnFrame]]] = {}
    for line in _read_lines(Path(frames_file)):
        sequences = splits.setdefault(str(line.frame.get('split', 'train')), {})
        sequences.setdefault(str(line.frame.get('sequence')), []).append(line)
    written = []
    for split, sequences in splits.items():
        frames = [frame for name in subset.of_scenes(list(sequences))
                  for frame in subset.of_frames(sequences[name])]
        written.append(_write(frames, Path(out_dir) / f'simipu_infos_{split}.pkl', root_path,
                              num_workers, dict(dataset='own', split=split)))
    return written


def _read_lines(path: Path) -> list[OwnFrame]:
    if not path.is_file():
        raise DataError(f'no file {path}; expected one frame per line, as JSON object')
    frames = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.strip():
            continue
        name = f'{path}, line {number}'
        try:
            frame = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(f'{name}: expected one frame as JSON object, but {error}') from None
        if not isinstance(frame, dict):
            raise DataError(f'{name}: expected a JSON object, found {type(frame).__name__}')
        frames.append(OwnFrame(frame, name))
    if not frames:
        raise DataError(f'{path} is empty; expected one frame per line, as JSON object')
    return frames


def _write(frames: list[OwnFrame], out_file: Path, root_path: PathLike,
           num_workers: int | None, metainfo: dict) -> ConvertedSplit:
    if not frames:
        raise DataError(f'no frames for {out_file}; expected at least one')
    root_path = require_folder(root_path or '.', 'the folder of your data, to which the paths of '
                               'frames are relative')
    numbered = list(enumerate(frames))
    first = frames[0].frame.get('lidar_points', {})
    return write_split(out_file, partial(_complete, root_path=root_path), numbered,
                       str(Path(first.get('lidar_path', '')).parent), partial(_frame_paths, root_path=root_path),
                       num_workers, **metainfo)


def _frame_paths(numbered: tuple, root_path: Path) -> list[Path]:
    frame = numbered[1].frame
    return [root_path / path for path in (frame['lidar_points']['lidar_path'],
                                          *(image['img_path'] for image in frame['images'].values()))]


def _complete(numbered: tuple, root_path: Path) -> dict:
    """The frame as it goes into the info file."""
    number, (frame, name) = numbered
    lidar = _required(frame, 'lidar_points', dict, name)
    path = _required(lidar, 'lidar_path', str, f'{name}: lidar_points')
    check_point_file(root_path / path, _required(lidar, 'num_pts_feats', int,
                                                 f'{name}: lidar_points'), name)
    images = _required(frame, 'images', dict, name)
    if not images:
        raise DataError(f'{name}: images is empty; expected at least one camera')
    images = {camera: _complete_image(image, root_path, f'{name}, camera {camera}')
              for camera, image in images.items()}
    return {'sample_idx': number, **frame, 'images': images}


def _complete_image(image: dict, root_path: Path, name: str) -> dict:
    path = root_path / _required(image, 'img_path', str, name)
    size = image_size(path, name)
    given = {key: image.get(key, size[key]) for key in size}
    if given != size:
        raise DataError(f'{name}: {path} is {size["width"]} x {size["height"]} pixels, but the '
                        f'frame says {given["width"]} x {given["height"]}; correct it or leave '
                        'height and width out')
    matrices = {key: invertible_4x4(image[key], key, name) for key in _MATRICES if key in image}
    if 'lidar2img' not in matrices:
        if 'cam2img' not in matrices or 'lidar2cam' not in matrices:
            raise DataError(f'{name}: expected lidar2img, or cam2img and lidar2cam; found '
                            f'{", ".join(image)}')
        matrices['lidar2img'] = matrices['cam2img'] @ matrices['lidar2cam']
    return {**image, **size, **{key: matrix.tolist() for key, matrix in matrices.items()}}


def _required(content: dict, key: str, kind: type, where: str):
    value = content.get(key)
    if not isinstance(value, kind):
        found = f'{key} = {value!r}' if key in content else ', '.join(content) or 'nothing'
        raise DataError(f'{where}: expected {key} ({kind.__name__}), found {found}. See '
                        'docs/data_format.md')
    return value
