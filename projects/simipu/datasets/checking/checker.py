"""Check an info file and the files it names."""
from collections import defaultdict
from collections.abc import Sequence

import mmengine
import numpy as np
import torch

from ...errors import DataError
from ...geometry import project, visible
from ..paired_dataset import PairedDataset
from ..transforms import LoadPairedImages, LoadPairedPoints
from .calibration_score import MIN_IMAGES, CalibrationVerdict, agreement, judge
from .info_checks import check_calibration, check_duplicates, check_intrinsics_and_sizes, check_time_stamps
from .report import Finding, Report

MIN_VISIBLE_SHARE = 0.005
ALL_CAMERAS = 'all cameras'


def check_dataset(ann_file: str,
                  data_root: str = '',
                  data_prefix: dict | None = None,
                  cameras: Sequence[str] | None = None,
                  sample: int | str = 50,
                  load_dim: int = 4,
                  backend_args: dict | None = None) -> Report:
    """Check all frames of an info file, and the files of some.

    Args:
        ann_file, data_root, data_prefix, cameras, backend_args: See :class:`PairedDataset`.
        sample: Of how many frames, evenly spread, the files are opened; 'all' opens all.
        load_dim: Values per point, for info files that do not say.

    Raises:
        DataError: The info file itself cannot be read.
    """
    dataset = PairedDataset(ann_file, data_root, data_prefix, cameras, backend_args,
                            lazy_init=True)
    infos = dataset.read_info_file()['data_list']
    report = Report(dataset.ann_file, num_frames=len(infos))
    frames = {}
    for index, info in enumerate(infos):
        try:
            frames[index] = dataset.parse_data_info(info)
        except DataError as error:
            report.findings.append(Finding('info file', str(error), index))
    _check_infos(infos, frames, report)
    chosen = _spread(list(frames), sample)
    measured = _Measurements()
    for index in mmengine.track_iter_progress(chosen):
        _check_frame(index, frames[index], load_dim, backend_args, measured, report)
    report.num_opened = len(chosen)
    _add_camera_figures(measured, report)
    return report


class _Measurements:
    """By camera, what was measured in the frames that could be opened."""

    def __init__(self) -> None:
        self.visible_share = defaultdict(list)
        self.agreement = defaultdict(list)


def _spread(frames: list[int], sample: int | str) -> list[int]:
    if sample == 'all' or sample >= len(frames):
        return frames
    return [frames[i] for i in np.linspace(0, len(frames) - 1, sample).round().astype(int)]


def _check_infos(infos: list[dict], frames: dict[int, dict], report: Report) -> None:
    for index, frame in frames.items():
        images = {name: infos[index]['images'][name] for name in frame['cam_names']}
        report.findings += check_calibration(index, images)
    report.findings += check_intrinsics_and_sizes([infos[index] for index in frames])
    report.findings += check_duplicates(frames)
    report.findings += check_time_stamps(infos)
    if not any(info.get('timestamp') is not None for info in infos):
        report.notes.append('the info file has no time stamps, so that they were not checked')
    elif not any(info.get('sequence') is not None for info in infos):
        report.notes.append('the info file names no sequences, so that no gaps were looked for')


def _check_frame(index: int, frame: dict, load_dim: int, backend_args: dict | None,
                 measured: _Measurements, report: Report) -> None:
    """Open the files of a frame; measure each camera of which both cloud and image can be used."""
    loader = LoadPairedPoints(load_dim=frame['lidar_format'].get('load_dim', load_dim), use_dim=3,
                              backend_args=backend_args)
    points = _load(loader, frame, index, None, report)
    for i, name in enumerate(frame['cam_names']):
        one = {key: frame[key][i:i + 1] for key in ('img_path', 'img_size', 'img_format')}
        image = _load(LoadPairedImages(backend_args=backend_args), one, index, name, report)
        if points is not None and image is not None:
            _measure(name, points['points'].tensor.numpy(), image['img'][0],
                     frame['lidar2img'][i], measured)


def _load(loader, frame: dict, index: int, camera: str | None, report: Report) -> dict | None:
    try:
        return loader(dict(frame))
    except DataError as error:
        kind = _file_problem(str(error))
        report.findings.append(Finding(kind, f'frame {index}: {error}', index, camera))
        return None


def _file_problem(message: str) -> str:
    if message.startswith('no file'):
        return 'missing file'
    return 'size mismatch' if 'the info file says' in message else 'unreadable file'


def _measure(camera: str, points: np.ndarray, image: np.ndarray, lidar2img: np.ndarray,
             measured: _Measurements) -> None:
    pixels, depth = project(torch.from_numpy(points).double(), torch.from_numpy(lidar2img))
    mask = visible(pixels, depth, torch.tensor(image.shape[:2]))
    measured.visible_share[camera].append(float(mask.float().mean()))
    measured.agreement[camera].append(agreement(points, image, lidar2img))


def _add_camera_figures(measured: _Measurements, report: Report) -> None:
    for name, shares in measured.visible_share.items():
        share = float(np.mean(shares))
        report.cameras[name] = dict(visible_share=share)
        if share < MIN_VISIBLE_SHARE:
            report.findings.append(Finding(
                'visible points', f'{name}: only {share:.2%} of the points are visible; the '
                'extrinsics are wrong, or the camera looks where the LiDAR does not', camera=name))
        _add_verdict(name, measured.agreement[name], report)
    if len(report.cameras) > 1:
        report.cameras[ALL_CAMERAS] = {}
        _add_verdict(ALL_CAMERAS, sum(measured.agreement.values(), []), report)
    undecided = [name for name, figures in report.cameras.items()
                 if figures['calibration']['verdict'] == 'undecided']
    if undecided:
        report.notes.append(f'calibration of {", ".join(undecided)}: a verdict needs depth edges '
                            f'in {MIN_IMAGES} images or more')


def _add_verdict(name: str, agreements: list[np.ndarray], report: Report) -> None:
    verdict = judge(agreements)
    report.cameras[name]['calibration'] = dict(
        verdict={None: 'undecided', True: 'wrong', False: 'right'}[verdict.wrong],
        score=verdict.score, advantage=verdict.advantage, best=str(verdict.best),
        num_images=verdict.num_images)
    if verdict.wrong:
        report.findings.append(Finding(
            'calibration score', _explain(name, verdict, len(agreements)), camera=name))


def _explain(name: str, verdict: CalibrationVerdict, num_opened: int) -> str:
    advice = ('Check extrinsics, intrinsics and which calibration belongs to which frames, and '
              'look at tools/browse_dataset.py')
    if 2 * verdict.num_images < num_opened:
        return (f'{name}: only {verdict.num_images} of {num_opened} images see objects that the '
                f'LiDAR sees too. {advice}')
    return (f'{name}: depth edges lie on image edges no better than with a wrong calibration '
            f'(score {verdict.score:.1f}); they agree best when the camera is moved by: {verdict.best}. '
            f'{advice}')
