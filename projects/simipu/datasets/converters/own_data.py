"""Info files of a user's own data: from dicts in Python, or from a file with one JSON object per line.

A frame is what docs/data_format.md describes and frame_schema.json defines.
"""
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePath
from typing import Any, NamedTuple

import numpy as np

from ...errors import DataError
from ...files import parse_json
from .common import (
    ConvertedSplit,
    PathLike,
    Subset,
    check_point_file,
    image_size,
    require_folder,
    write_split,
)
from .frame_schema import check_frame
from .image_sizes import check_against_intrinsics
from .moved_clouds import MOVED_CLOUDS, write_moved_cloud
from .own_calibration import Coordinates, frame_matrices
from .splitting import Scenes, ValScenes, hold_out_scenes, hold_out_share
from .text_files import read_text


class OwnFrame(NamedTuple):
    """A user's frame and how error messages call it."""
    frame: dict
    name: str


def create_own_infos(frames: Iterable[dict],
                     root_path: PathLike,
                     out_dir: PathLike,
                     val_share: float | None = None,
                     val_scenes: ValScenes = (),
                     subset: Subset = Subset(),
                     coordinates: Coordinates = Coordinates(),
                     num_workers: int | None = None) -> list[ConvertedSplit]:
    """Write the info files of your own frames, ``out_dir/simipu_infos_<split>.pkl``.

    Every frame is checked first, and its image sizes and ``lidar2img`` are completed.

    Args:
        frames: A dict for each, with

            - ``lidar_points``: ``dict(lidar_path)``, a cloud of any format that
              ``simipu.datasets.readers.read_cloud`` reads, and for ``.bin`` its ``num_pts_feats`` (values
              a point, of which the first three are x, y, z; 4 if not given) and ``dtype``;
            - ``images``: by camera a dict with ``img_path`` and the calibration: ``lidar2img`` (3x4 or 4x4,
              known up to a positive factor), or ``cam2img`` (3x3, 3x4 or 4x4) and ``lidar2cam`` (4x4), or
              ``cam2img`` and poses (``cam2ego``, ``ego2global``);
            - optionally ``sample_idx``, ``timestamp`` (seconds), ``sequence``, ``split``, ``ego2global``, and
              of each image ``height``, ``width``, ``timestamp``.

            Paths are relative to ``root_path``. Matrices may be nested lists or arrays.
        root_path: Folder of the data, the ``data_root`` of a config.
        out_dir: Where to write; made if need be.
        val_share: Share of the frames to keep for validation: whole sequences where there are several,
            otherwise the last frames of the drive.
        val_scenes: In place of ``val_share``, the sequences to keep for validation: names, or a share.
        subset: Which part to convert; scenes are distinguished by ``sequence``.
        coordinates: Frame and units of clouds and calibration.
        num_workers: Number of processes; None: one for each available core.

    Raises:
        DataError: A frame lacks something or is malformed, a file is missing, or a split would be empty; nothing
            is written then.
    """
    return _create(_named(frames), root_path, out_dir, val_share, val_scenes, subset, coordinates, num_workers)


def create_jsonl_infos(frames_file: PathLike,
                       root_path: PathLike,
                       out_dir: PathLike,
                       val_share: float | None = None,
                       val_scenes: ValScenes = (),
                       subset: Subset = Subset(),
                       coordinates: Coordinates = Coordinates(),
                       num_workers: int | None = None) -> list[ConvertedSplit]:
    """``create_own_infos`` of a file with one frame per line, as JSON.

    Raises:
        DataError: As there, naming the line.
    """
    return _create(_read_lines(Path(frames_file)), root_path, out_dir, val_share, val_scenes, subset, coordinates,
                   num_workers)


def write_infos(frames: Iterable[dict],
                out_file: PathLike,
                root_path: PathLike = '',
                num_workers: int | None = None,
                coordinates: Coordinates = Coordinates(),
                **metainfo) -> ConvertedSplit:
    """Write a single info file with all of the frames; see ``create_own_infos``.

    Args:
        out_file: Info file to write, '.../simipu_infos_train.pkl'; its folder is made if need be.
        metainfo: Whatever you want to keep with it, such as ``dataset='mine'``.
    """
    return _write(_checked(_named(frames)), Path(out_file), root_path, coordinates, num_workers, metainfo)


def _named(frames: Iterable[dict]) -> list[OwnFrame]:
    return [OwnFrame(_plain(frame), f'frame {number}') for number, frame in enumerate(frames)]


def _plain(value: Any) -> Any:
    """As it would be read from JSON: arrays as lists, numpy's numbers as Python's."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    return str(value) if isinstance(value, PurePath) else value


def _read_lines(path: Path) -> list[OwnFrame]:
    if not os.path.exists(path):
        raise DataError(f'no file {path}; expected one frame per line, as JSON object')
    frames = []
    for number, line in enumerate(read_text(path).split('\n'), 1):
        if line.strip():
            name = f'{path}, line {number}'
            frames.append(OwnFrame(parse_json(line, name, 'one frame as JSON object',
                                                object_pairs_hook=_without_repeats), name))
    if not frames:
        raise DataError(f'{path} is empty; expected one frame per line, as JSON object')
    return frames


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict:
    twice = [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]
    if twice:
        raise ValueError(f'{twice[0]} stands twice in the same object')
    return dict(pairs)


def _checked(frames: list[OwnFrame]) -> list[OwnFrame]:
    """The frames, with / in paths, each as the schema has it."""
    for frame, name in frames:
        check_frame(frame, name)
        paths = [(frame['lidar_points'], 'lidar_path'), *((image, 'img_path') for image in frame['images'].values())]
        for entry, key in paths:
            entry[key] = entry[key].replace('\\', '/')
            if entry[key][1:3] == ':/':
                raise DataError(f'{name}: {key} is {entry[key]}, a path on a Windows drive; expected one relative to '
                                'the root path, such as clouds/000.bin')
    return frames


def _create(frames: list[OwnFrame], root_path: PathLike, out_dir: PathLike, val_share: float | None,
            val_scenes: ValScenes, subset: Subset, coordinates: Coordinates,
            num_workers: int | None) -> list[ConvertedSplit]:
    splits, remarks = _splits(_checked(frames), val_share, val_scenes)
    written = []
    for split, scenes in splits.items():
        taken = [frame for name in subset.of_scenes(list(scenes)) for frame in subset.of_frames(scenes[name])]
        written.append(_write(taken, Path(out_dir) / f'simipu_infos_{split}.pkl', root_path, coordinates,
                              num_workers, dict(dataset='own', split=split)))
    return [*written[:-1], written[-1]._replace(remarks=(*written[-1].remarks, *remarks))]


def _splits(frames: list[OwnFrame], val_share: float | None,
            val_scenes: ValScenes) -> tuple[dict[str, dict[str, list]], list[str]]:
    """By split and scene the frames, and what is to be said about that."""
    if val_share is not None or val_scenes:
        for frame, name in frames:
            if 'split' in frame:
                raise DataError(f'{name}: split is {frame["split"]!r}, so --val-share and --val-scenes cannot divide '
                                'the frames; leave them out, or remove split from all frames')
        train, val, note = _held_out(_by_scene(frames), val_share, val_scenes)
    else:
        named = {frame.frame.get('split', 'train') for frame in frames}
        splits = {split: _by_scene([frame for frame in frames if frame.frame.get('split', 'train') == split])
                  for split in sorted(named)}
        lacking = [split for split in ('train', 'val') if split not in named]
        note = (f'no frame for {" or ".join(lacking)}. --val-share 0.1 keeps a tenth for validation; without, train '
                'with --no-val') if lacking else ''
        return splits, [note] if note else []
    return {split: scenes for split, scenes in (('train', train), ('val', val)) if scenes}, [note] if note else []


def _held_out(scenes: dict[str, list], val_share: float | None, val_scenes: ValScenes) -> Scenes:
    if val_share is not None and val_scenes:
        raise DataError('--val-share and --val-scenes: expected one of them')
    return hold_out_scenes(scenes, val_scenes) if val_share is None else hold_out_share(scenes, val_share)


def _by_scene(frames: Sequence[OwnFrame]) -> dict[str, list[OwnFrame]]:
    """By sequence the frames, in order of time where all have a time stamp."""
    scenes: dict[str, list[OwnFrame]] = {}
    for frame in frames:
        scenes.setdefault(str(frame.frame.get('sequence', 'the only drive')), []).append(frame)
    for in_scene in scenes.values():
        if all('timestamp' in frame.frame for frame in in_scene):
            in_scene.sort(key=lambda frame: frame.frame['timestamp'])
    return scenes


def _write(frames: list[OwnFrame], out_file: Path, root_path: PathLike, coordinates: Coordinates,
           num_workers: int | None, metainfo: dict) -> ConvertedSplit:
    if not frames:
        raise DataError(f'no frames for {out_file}; expected at least one')
    coordinates.check()
    root_path = require_folder(root_path or '.', 'the folder of your data, to which the paths of '
                               'frames are relative')
    moved = coordinates.clouds_in == 'global' or coordinates.cloud_unit != 'm'
    complete = partial(_complete, root_path=root_path, coordinates=coordinates,
                       clouds_dir=out_file.parent / MOVED_CLOUDS if moved else None)
    clouds = str(Path(frames[0].frame['lidar_points']['lidar_path']).parent)
    split = write_split(out_file, complete, list(enumerate(frames)), clouds,
                        partial(_frame_paths, root_path=root_path), num_workers, **metainfo)
    return split._replace(remarks=tuple(_missing_cameras(frames, out_file)))


def _frame_paths(numbered: tuple, root_path: Path) -> list[Path]:
    frame = numbered[1].frame
    return [root_path / path for path in (frame['lidar_points']['lidar_path'],
                                          *(image['img_path'] for image in frame['images'].values()))]


def _missing_cameras(frames: list[OwnFrame], out_file: Path) -> Iterable[str]:
    """Says which cameras some of the frames lack."""
    counts = Counter(camera for frame in frames for camera in frame.frame['images'])
    for camera, count in counts.items():
        if count < len(frames):
            first = next(frame.name for frame in frames if camera not in frame.frame['images'])
            yield (f'{out_file.name}: {len(frames) - count} of {len(frames)} frames have no image of {camera}, {first} '
                   'the first; they are kept, with the cameras that they have. All frames of a batch need as many: '
                   'SampleCameras(num_cameras=...) draws so many, batch_size=1 takes all')


def _complete(numbered: tuple, root_path: Path, coordinates: Coordinates, clouds_dir: Path | None) -> dict:
    """The frame as it goes into the info file; its cloud is written anew if there is a ``clouds_dir``."""
    number, (frame, name) = numbered
    lidar = {key: value for key, value in frame['lidar_points'].items() if key != 'lidar2ego'}
    matrices, move = frame_matrices(frame, coordinates, name)
    if clouds_dir is not None:
        lidar = write_moved_cloud(lidar, root_path, clouds_dir, move, coordinates, name)
    lidar['num_pts_feats'] = check_point_file(root_path / lidar['lidar_path'], lidar.get('num_pts_feats'), name,
                                              lidar.get('dtype', 'float32'))
    images = {camera: _image(image, matrices[camera], root_path, f'{name}, camera {camera}')
              for camera, image in frame['images'].items()}
    return {'sample_idx': number, **frame, 'lidar_points': lidar, 'images': images}


def _image(image: dict, matrices: dict, root_path: Path, name: str) -> dict:
    path = root_path / image['img_path']
    size = image_size(path, name, image.get('apply_exif', False))
    given = {key: image.get(key, size[key]) for key in size}
    if given != size:
        remedy = 'correct it or leave height and width out'
        if given == image_size(path, name, apply_exif=True):
            remedy = ('its EXIF orientation would turn it to that size. If the camera was calibrated with turned '
                      'images, add apply_exif=true to the image in your frames')
        raise DataError(f'{name}: {path} is {size["width"]} x {size["height"]} pixels, but the frame says '
                        f'{given["width"]} x {given["height"]}; {remedy}')
    if 'cam2img' in matrices:
        check_against_intrinsics(size, matrices['cam2img'], str(path), f'{name}: cam2img')
    kept = {key: image[key] for key in ('img_path', 'timestamp', 'bit_depth', 'apply_exif', 'ego2global')
            if key in image}
    return {**kept, **size, **{key: matrix.tolist() for key, matrix in matrices.items()}}
