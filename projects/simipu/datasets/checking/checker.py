"""Check an info file and the files it names, and what the pipeline of a config makes of them."""
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmdet3d.registry import DATASETS
from mmengine.config import Config

from ...building import registry_scope
from ...errors import ConfigError, DataError
from ...geometry import Occlusion, project, visible
from ...progress import Progress
from ...seeding import SeededIndex, mix_seeds, sample_seed
from ..paired_dataset import PairedDataset
from ..transforms import LoadPairedImages, LoadPairedPoints
from ..transforms.cameras import take_cameras
from .calibration_score import agreement
from .cloud_checks import check_transposed, cloud_figures
from .conclusions import conclude
from .info_checks import (
    MAX_TIME_OFFSET,
    check_calibration,
    check_duplicates,
    check_intrinsics_and_sizes,
    check_time_stamps,
    describe_depth_scales,
    describe_gaps,
    time_offset,
)
from .measurements import Image, Measurements, Pipeline
from .odd_calibrations import check_odd_calibrations
from .pipeline_trace import strip_of, trace_frame
from .range_check import SeenPoints
from .report import Finding, Report


def check_dataset(ann_file: str,
                  data_root: str = '',
                  data_prefix: dict | None = None,
                  cameras: Sequence[str] | None = None,
                  sample: int | str = 50,
                  load_dim: int = 4,
                  backend_args: dict | None = None) -> Report:
    """Check all frames of an info file, and the files of some.

    Args:
        ann_file: Info file; this and the next four as in ``PairedDataset``.
        data_root: Folder of the data.
        data_prefix: Folders by kind of file.
        cameras: Which ones; all by default.
        backend_args: File backend.
        sample: Of how many frames, evenly spread, the files are opened; 'all' opens all.
        load_dim: Values per point, for info files that do not say.

    Raises:
        DataError: The info file itself cannot be read.
    """
    dataset = PairedDataset(ann_file, data_root, data_prefix, cameras, backend_args, lazy_init=True)
    return _Check(dataset, sample, load_dim).run()


def check_config(cfg: Config, split: str = 'train', sample: int | str = 50) -> list[Report]:
    """Check the data sets of a config as its pipeline reads them, and what the pipeline leaves of them.

    Args:
        cfg: Of a pre-training.
        split: Whose data loader.
        sample: See ``check_dataset``.

    Returns:
        A report for each ``PairedDataset`` of the split, which may be a mixture of several.

    Raises:
        ConfigError: The config has no such data set.
        DataError: An info file cannot be read.
    """
    place = f'{split}_dataloader'
    found = list(_paired_datasets(cfg.get(place), place))
    if not found:
        raise ConfigError(f'the config has no PairedDataset in {place}; give the config of a pre-training, '
                          'or the info file itself')
    model = cfg.get('model') or {}
    occlusion, in_channels = model.get('occlusion'), model.get('point_encoder', {}).get('in_channels')
    reports = []
    for place, settings in found:
        with registry_scope(cfg):
            dataset = DATASETS.build(dict(settings, lazy_init=True))
        pipeline = Pipeline(place, dataset.pipeline.transforms, occlusion and Occlusion(**occlusion),
                            in_channels)
        reports.append(_Check(dataset, sample, pipeline=pipeline).run())
    return reports


def _paired_datasets(value: Any, place: str) -> Iterator[tuple[str, dict]]:
    """Place and settings of every PairedDataset below, inside wrappers such as ConcatDataset too."""
    if isinstance(value, dict):
        kind = value.get('type')
        if str(getattr(kind, '__name__', kind)).rpartition('.')[2] == 'PairedDataset':
            yield place, value
            return
        value = value.items()
    elif isinstance(value, (list, tuple)):
        value = enumerate(value)
    else:
        return
    for key, item in value:
        yield from _paired_datasets(item, f'{place}.{key}')


class _Check:
    """One check of one data set, on its way to a report."""

    def __init__(self, dataset: PairedDataset, sample: int | str, load_dim: int = 4,
                 pipeline: Pipeline | None = None) -> None:
        self.dataset = dataset
        self.sample = sample
        self.load_dim = load_dim
        self.pipeline = pipeline
        self.infos = list(dataset.read_info_file()['data_list'])
        self.frames = {}
        self.measured = Measurements()
        self.report = Report(dataset.ann_file, num_frames=len(self.infos))

    def run(self) -> Report:
        for index, info in enumerate(self.infos):
            try:
                frame = self.frames[index] = self.dataset.parse_data_info(info)
                # Of the cameras in use, whose fields were looked at.
                self.infos[index] = {**info, 'images': {name: info['images'][name] for name in frame['cam_names']}}
            except DataError as error:
                self.infos[index] = {}
                self.report.findings.append(Finding('info file', str(error), index))
        self._check_infos()
        chosen = _spread(list(self.frames), self.sample)
        progress = Progress(len(chosen))
        for index in chosen:
            self._check_frame(index)
            progress.update()
        progress.close()
        self.report.num_opened = len(chosen)
        conclude(self.measured, self.pipeline, self.report, self._load_again)
        return self.report

    def _check_infos(self) -> None:
        infos, report = self.infos, self.report
        for index, frame in self.frames.items():
            images = {name: infos[index]['images'][name] for name in frame['cam_names']}
            report.findings += check_calibration(index, images)
        report.findings += check_odd_calibrations(self.frames, infos)
        report.findings += check_intrinsics_and_sizes([infos[index] for index in self.frames])
        report.findings += check_duplicates(self.frames)
        report.findings += check_time_stamps(infos)
        report.notes += describe_depth_scales(infos)
        report.notes += describe_gaps(infos)
        if not any(info.get('timestamp') is not None for info in infos):
            report.notes.append('the info file has no time stamps, so that they were not checked')
        elif not any(info.get('sequence') is not None for info in infos):
            report.notes.append('the info file names no sequences, so that no gaps were looked for')

    def _check_frame(self, index: int) -> None:
        """Open the files of a frame; measure each camera of which both cloud and image can be used."""
        frame = self.frames[index]
        points = self._load(self._cloud_loader(frame), frame, index, None)
        if points is not None:
            points = points['points'].coord.numpy()
            self.measured.clouds[index] = cloud_figures(points)
            self.report.findings += check_transposed(index, points)
        images = [self._load(self._image_loader(), take_cameras(dict(frame), [i]), index, name)
                  for i, name in enumerate(frame['cam_names'])]
        for i, image in enumerate(images):
            if points is not None and image is not None:
                self._measure(index, i, points, image['img'][0])
        if self.pipeline and points is not None and None not in images:
            self._trace(index)

    def _cloud_loader(self, frame: dict) -> BaseTransform:
        own = self.pipeline and self.pipeline.find(LoadPairedPoints)
        return own or LoadPairedPoints(load_dim=frame['lidar_format'].get('load_dim', self.load_dim), use_dim=3,
                                       backend_args=self.dataset.backend_args)

    def _image_loader(self) -> BaseTransform:
        own = self.pipeline and self.pipeline.find(LoadPairedImages)
        return own or LoadPairedImages(backend_args=self.dataset.backend_args)

    def _load(self, loader: BaseTransform, frame: dict, index: int, camera: str | None) -> dict | None:
        try:
            return loader(dict(frame))
        except DataError as error:
            kind = _file_problem(str(error))
            self.report.findings.append(Finding(kind, f'frame {index}: {error}', index, camera))
            return None

    def _measure(self, index: int, camera: int, points: np.ndarray, image: np.ndarray) -> None:
        name = self.frames[index]['cam_names'][camera]
        lidar2img = _in_metres(self.frames[index]['lidar2img'][camera])
        size = image.shape[:2]
        pixels, depth = project(torch.from_numpy(points).double(), torch.from_numpy(lidar2img))
        mask = visible(pixels, depth, torch.tensor(size)).numpy()
        seen = SeenPoints(points[mask], strip_of(pixels.numpy()[mask, 0], size[1]))
        self.measured.images[name].append(Image(
            index, lidar2img, size, abs(time_offset(self.infos[index], name)) > MAX_TIME_OFFSET,
            float(mask.mean()), seen, agreement(points, image, lidar2img)))

    def _trace(self, index: int) -> None:
        try:
            frame = dict(self.frames[index], sample_idx=index)
            with sample_seed(SeededIndex(index, mix_seeds(index))):  # the same report each time
                traces = list(trace_frame(frame, self.pipeline.transforms, self.pipeline.occlusion))
        except DataError as error:
            self.report.findings.append(Finding('pipeline', f'frame {index}: {error}', index))
            return
        for trace in traces:
            self.measured.traces[trace.camera].append(trace)

    def _load_again(self, index: int, camera: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Points (N, 3), image (H, W, 3) and ``lidar2img`` (4, 4) of a frame that was opened before."""
        frame = self.frames[index]
        one = take_cameras(dict(frame), [frame['cam_names'].index(camera)])
        points = self._cloud_loader(frame)(dict(frame))['points'].coord.numpy()
        return points, self._image_loader()(one)['img'][0], _in_metres(one['lidar2img'][0])


def _in_metres(lidar2img: np.ndarray) -> np.ndarray:
    """The same projection (4, 4) with depth in metres, where it is known up to a factor only."""
    scale = np.linalg.norm(lidar2img[2, :3])
    return np.concatenate([lidar2img[:3] / scale, lidar2img[3:]])


def _spread(frames: list[int], sample: int | str) -> list[int]:
    if sample == 'all' or sample >= len(frames):
        return frames
    return [frames[i] for i in np.linspace(0, len(frames) - 1, sample).round().astype(int)]


def _file_problem(message: str) -> str:
    if message.startswith('no file'):
        return 'missing file'
    return 'size mismatch' if 'the info file says' in message else 'unreadable file'
