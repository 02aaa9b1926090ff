"""From what was measured in the opened frames to findings, each cause by its own name."""
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from mmdet3d.datasets.transforms import PointsRangeFilter

from ...geometry import forward_axis
from ..transforms import LoadPairedPoints, PointCloudSecondView
from .calibration_score import MIN_IMAGES, CalibrationVerdict, judge
from .cloud_checks import check_camera_distance, check_features, check_heights, check_units, format_range
from .depth_edges import split_projection
from .explanations import Sample, explain
from .info_checks import MAX_TIME_OFFSET, check_focal_length, check_principal_point
from .measurements import Image, Measurements, Pipeline
from .pipeline_trace import NUM_STRIPS, CameraTrace, describe_strips
from .range_check import EMPTIED_SHARE, MIN_LOST_STRIPS, SeenPoints, range_effect, suitable_range
from .report import Finding, Report

MIN_VISIBLE_SHARE = 0.005
MIN_USUAL_SHARE = 0.2
"""Of the points that a camera usually sees; a frame with fewer is odd."""
MAX_ODD_SHARE = 0.1
MIN_EXPECTED_POINTS = 20
CAUSES = ('units', 'axes', 'size', 'calibration')
ALL_CAMERAS = 'all cameras'
NUM_EXPLAINED_IMAGES = 4
LoadAgain = Callable[[int, str], tuple[np.ndarray, np.ndarray, np.ndarray]]


def conclude(measured: Measurements, pipeline: Pipeline | None, report: Report, load_again: LoadAgain) -> None:
    """Add to a report what the measurements say.

    Args:
        measured: Of the frames that could be opened.
        pipeline: Of the config that is checked; None where an info file is.
        report: With the findings about the info file.
        load_again: Frame and camera to points, image and ``lidar2img``.
    """
    if not measured.images:
        return
    report.findings += _check_clouds(measured)
    for name, images in measured.images.items():
        report.cameras[name] = dict(visible_share=float(np.mean([image.visible_share for image in images])))
        report.findings += _check_images(name, images)
    if pipeline is not None:
        _conclude_pipeline(measured, pipeline, report)
    _conclude_calibration(measured, report, load_again)
    for name, figures in report.cameras.items():
        if figures.get('visible_share', 1) < MIN_VISIBLE_SHARE and not _found(report, *CAUSES, camera=name):
            report.findings.append(Finding(
                'visible points', f'{name}: only {figures["visible_share"]:.2%} of the points are visible; the '
                'extrinsics are wrong, or the camera looks where the LiDAR does not', camera=name))


def _found(report: Report, *kinds: str, camera: str | None = None) -> bool:
    """Whether a report has findings of one of these kinds, about this camera or about all; about any for None."""
    return any(finding.kind in kinds and (camera is None or finding.camera in (None, camera))
               for finding in report.findings)


def _check_clouds(measured: Measurements) -> Iterator[Finding]:
    centres = {name: _camera_centre(_typical(images).lidar2img) for name, images in measured.images.items()}
    yield from check_units(list(measured.clouds.values()), [centre[2] for centre in centres.values()])
    for name, centre in centres.items():
        yield from check_camera_distance(name, centre)


def _typical(images: Sequence[Image]) -> Image:
    """The image of a camera whose calibration is most like that of the others."""
    matrices = np.stack([image.lidar2img for image in images])
    return images[np.abs(matrices - np.median(matrices, axis=0)).sum(axis=(1, 2)).argmin()]


def _camera_centre(lidar2img: np.ndarray) -> np.ndarray:
    _, pose = split_projection(lidar2img)
    return -pose[:3, :3].T @ pose[:3, 3]


def _check_images(name: str, images: Sequence[Image]) -> Iterator[Finding]:
    typical = _typical(images)
    yield from check_focal_length(name, typical.lidar2img, typical.size)
    yield from check_principal_point(name, typical.lidar2img, typical.size)
    counts = np.array([len(image.seen.points) for image in images])
    odd = counts < MIN_USUAL_SHARE * np.median(counts)
    if odd.sum() <= max(1, MAX_ODD_SHARE * len(images)) and len(images) > 2:
        for i in odd.nonzero()[0]:
            yield Finding('odd frame', f'frame {images[i].frame}, {name}: its image shows {counts[i]} points of the '
                          f'cloud, where {np.median(counts):.0f} are usual; look at its cloud and calibration',
                          images[i].frame, name)


def _conclude_pipeline(measured: Measurements, pipeline: Pipeline, report: Report) -> None:
    if not _found(report, 'units'):
        ground = float(np.median([figures.ground for figures in measured.clouds.values()]))
        report.findings += check_heights(ground, pipeline.place, pipeline.transforms)
        if not _found(report, 'range filter'):
            report.findings += _check_range_filter(measured, pipeline)
    if _found(report, 'units', 'range filter'):  # which explain frames without a point in the range
        report.findings = [finding for finding in report.findings
                           if finding.kind != 'pipeline' or 'point_cloud_range' not in finding.message]
    for name, traces in measured.traces.items():
        pairs = [trace.pairs for trace in traces]
        report.cameras[name]['pairs'] = dict(mean=float(np.mean(pairs)), min=min(pairs))
        report.findings += _check_pairs(name, measured.images[name], traces, report)
    features = [trace.features for traces in measured.traces.values() for trace in traces]
    if features:
        mistake = _width_mistake(sorted({3 + columns.shape[1] for columns in features}), pipeline)
        if mistake is None:
            report.warnings += check_features(np.concatenate(features), _loader_place(pipeline))
        else:
            report.findings.append(Finding('pipeline', mistake))


def _width_mistake(widths: list[int], pipeline: Pipeline) -> str | None:
    """What is wrong with the numbers of values per point that frames have, in rising order, if anything."""
    width = widths[0]
    encoder = f'model.point_encoder.in_channels={width}' if pipeline.in_channels not in (None, width) else ''
    if len(widths) > 1:
        return (f'the points of some frames have {width} values, of others {widths[-1]}, which make no batch. Read as '
                f'many of all: {_loader_place(pipeline)}.use_dim={width} {encoder}'.rstrip())
    if encoder:
        return f'the points have {width} values, and the point encoder takes {pipeline.in_channels}. Set {encoder}'
    return None


def _loader_place(pipeline: Pipeline) -> str:
    return f'{pipeline.place}.pipeline.{pipeline.transforms.index(pipeline.find(LoadPairedPoints))}'


def _check_range_filter(measured: Measurements, pipeline: Pipeline) -> Iterator[Finding]:
    seen = {name: _pool([image.seen for image in images]) for name, images in measured.images.items()}
    seen = {name: one for name, one in seen.items() if len(one.points)}
    ahead = _name_axis(forward_axis(np.stack([_typical(images).lidar2img for images in measured.images.values()])))
    for number, transform in enumerate(pipeline.transforms):
        if not isinstance(transform, PointsRangeFilter):
            continue
        given = [float(value) for value in transform.pcd_range]
        effects = {name: range_effect(one, given) for name, one in seen.items()}
        cut = [name for name, effect in effects.items() if not effect.suits]
        if cut:
            wanted = suitable_range(list(seen.values()), given)
            yield Finding(
                'range filter', f'{", ".join(cut)}: point_cloud_range={format_range(given)} '
                f'{effects[cut[0]]}; the cameras look along {ahead} of the LiDAR frame. Set '
                f'{_range_settings(pipeline, number, wanted)}, and the same in the other data loaders')


def _name_axis(axis: np.ndarray) -> str:
    return f'{"-+"[int(axis.sum() > 0)]}{"xy"[int(np.abs(axis).argmax())]}'


def _range_settings(pipeline: Pipeline, number: int, wanted: Sequence[float]) -> str:
    settings = [f'{pipeline.place}.pipeline.{number}.point_cloud_range={format_range(wanted)}']
    second = pipeline.find(PointCloudSecondView)
    if second is not None:
        middle = (np.array(wanted[:3]) + np.array(wanted[3:])) / 2
        settings.append(f'{pipeline.place}.pipeline.{pipeline.transforms.index(second)}.centre='
                        f'{format_range(middle)}')
    return ' '.join(settings)


def _pool(parts: Sequence[SeenPoints]) -> SeenPoints:
    return SeenPoints(np.concatenate([part.points for part in parts]),
                      np.concatenate([part.strips for part in parts]))


def _check_pairs(name: str, images: Sequence[Image], traces: Sequence[CameraTrace],
                 report: Report) -> Iterator[Finding]:
    """Images, or strips of them, that the pipeline leaves without points; the range filter apart."""
    shown = np.bincount(_pool([image.seen for image in images]).strips, minlength=NUM_STRIPS)
    if _found(report, 'range filter', 'units', camera=name) or not shown.sum():
        return
    sampled = np.sum([trace.strips for trace in traces], axis=0)
    expected = shown / shown.sum() * sampled.sum()
    empty = np.flatnonzero((expected >= MIN_EXPECTED_POINTS) & (sampled < EMPTIED_SHARE * expected))
    if not sum(trace.pairs for trace in traces):
        empty = np.arange(NUM_STRIPS)
    if len(empty) >= MIN_LOST_STRIPS:
        yield Finding('no pairs', f'{name}: the pipeline leaves {describe_strips(empty)} without pairs of a pixel and '
                      'a point, though the cloud has points there; look at what it does with '
                      '`simipu browse`', camera=name)


def _conclude_calibration(measured: Measurements, report: Report, load_again: LoadAgain) -> None:
    """Verdicts of each camera, and of all. What other findings explain is not called a wrong calibration."""
    odd = {finding.frame for finding in report.findings if finding.kind.startswith('odd ')}
    judged = {name: [image for image in images if not image.late and image.frame not in odd]
              for name, images in measured.images.items()}
    for name, images in judged.items():
        verdict = _add_verdict(name, images, report, explained=_found(report, 'units', 'size', camera=name))
        if verdict.wrong:
            report.findings.append(_explain(name, verdict, images, load_again))
    if len(judged) > 1:
        report.cameras[ALL_CAMERAS] = {}
        explained = any(finding.kind in ('units', 'size') for finding in report.findings)
        verdict = _add_verdict(ALL_CAMERAS, sum(judged.values(), []), report, explained)
        if verdict.wrong and all(report.cameras[name]['calibration']['verdict'] != 'wrong' for name in judged):
            report.findings.append(_score_finding(ALL_CAMERAS, verdict, sum(map(len, judged.values()))))
    _add_notes(measured, report)


def _add_verdict(name: str, images: Sequence[Image], report: Report, explained: bool) -> CalibrationVerdict:
    """Add the verdict on a camera to the figures; none where another finding explains what is wrong."""
    verdict = judge([image.agreement for image in images])
    if explained:
        verdict = verdict._replace(wrong=None)
    report.cameras[name]['calibration'] = dict(
        verdict={None: 'undecided', True: 'wrong', False: 'right'}[verdict.wrong],
        score=verdict.score, advantage=verdict.advantage, best=str(verdict.best), num_images=verdict.num_images)
    return verdict


def _explain(name: str, verdict: CalibrationVerdict, images: Sequence[Image], load_again: LoadAgain) -> Finding:
    chosen = [images[i] for i in np.linspace(0, len(images) - 1, min(len(images), NUM_EXPLAINED_IMAGES)).astype(int)]
    mistake = explain([Sample(*load_again(image.frame, name)) for image in chosen])
    if mistake is None:
        return _score_finding(name, verdict, len(images))
    return Finding(mistake.kind, f'{name}: {mistake.message}', camera=name)


def _score_finding(name: str, verdict: CalibrationVerdict, num_opened: int) -> Finding:
    advice = ('Check extrinsics, intrinsics and which calibration belongs to which drive; look at it with '
              '`simipu browse`')
    if 2 * verdict.num_images < num_opened:
        problem = (f'only {verdict.num_images} of {num_opened} images see objects that the LiDAR sees too')
    else:
        problem = (f'depth edges lie on image edges no better than with a wrong calibration (score '
                   f'{verdict.score:.1f}); they agree best when the camera is moved by: {verdict.best}')
    return Finding('calibration score', f'{name}: {problem}. {advice}', camera=name)


def _add_notes(measured: Measurements, report: Report) -> None:
    late = {name: sum(image.late for image in images) for name, images in measured.images.items()}
    if any(late.values()):
        listed = ', '.join(f'{count} of {name}' for name, count in late.items() if count)
        report.notes.append(f'images more than {MAX_TIME_OFFSET} s from their cloud say nothing about the '
                            f'calibration, and were left out of its score: {listed}')
    undecided = [name for name, figures in report.cameras.items()
                 if figures['calibration']['verdict'] == 'undecided']
    if undecided:
        report.notes.append(f'the calibration of {", ".join(undecided)} was not judged: that needs {MIN_IMAGES} images '
                            'or more with depth edges, free of the faults that are listed')
