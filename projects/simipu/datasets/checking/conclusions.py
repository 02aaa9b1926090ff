"""From what was measured in the opened frames to findings, each cause by its own name."""
from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..transforms import LoadPairedPoints, PairedPointsRangeFilter, PointCloudSecondView
from .calibration_score import MIN_IMAGES, CalibrationVerdict, judge
from .cloud_checks import check_camera_distance, check_features, check_heights, check_units, format_range
from .depth_edges import split_projection
from .explanations import Sample, explain
from .info_checks import MAX_TIME_OFFSET, check_principal_point
from .pipeline_trace import NUM_STRIPS, CameraTrace, describe_strips
from .range_check import SeenPoints, range_effect, suitable_range
from .report import Finding, Report

if TYPE_CHECKING:
    from .checker import Image, Measurements, Pipeline

MIN_VISIBLE_SHARE = 0.005
MIN_USUAL_SHARE = 0.2
"""Of the points that a camera usually sees; a frame with fewer is odd."""
MIN_EXPECTED_PAIRS = 20
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


def _check_clouds(measured: Measurements) -> Iterator[Finding]:
    centres = {name: _camera_centre(images[0].lidar2img) for name, images in measured.images.items()}
    yield from check_units(list(measured.clouds.values()), [centre[2] for centre in centres.values()])
    for name, centre in centres.items():
        yield from check_camera_distance(name, centre)


def _camera_centre(lidar2img: np.ndarray) -> np.ndarray:
    _, pose = split_projection(lidar2img)
    return -pose[:3, :3].T @ pose[:3, 3]


def _check_images(name: str, images: Sequence[Image]) -> Iterator[Finding]:
    share = float(np.mean([image.visible_share for image in images]))
    if share < MIN_VISIBLE_SHARE:
        yield Finding('visible points', f'{name}: only {share:.2%} of the points are visible; the extrinsics are '
                      'wrong, or the camera looks where the LiDAR does not', camera=name)
    yield from check_principal_point(name, images[0].lidar2img, images[0].size)
    counts = np.array([len(image.seen.points) for image in images])
    for image, count in zip(images, counts):
        if len(images) > 2 and count < MIN_USUAL_SHARE * np.median(counts):
            yield Finding('odd frame', f'frame {image.frame}, {name}: its image shows {count} points of the cloud, '
                          f'where {np.median(counts):.0f} are usual; look at its cloud and calibration',
                          image.frame, name)


def _conclude_pipeline(measured: Measurements, pipeline: Pipeline, report: Report) -> None:
    in_metres = not any(finding.kind == 'units' for finding in report.findings)
    if in_metres:
        report.findings += _check_range_filter(measured, pipeline)
        ground = float(np.median([figures.ground for figures in measured.clouds.values()]))
        if not any(finding.kind == 'range filter' for finding in report.findings):
            report.findings += check_heights(ground, pipeline.place, pipeline.transforms)
    for name, traces in measured.traces.items():
        pairs = [int(trace.strips.sum()) for trace in traces]
        report.cameras[name]['pairs'] = dict(mean=float(np.mean(pairs)), min=min(pairs))
        report.findings += _check_pairs(name, measured.images[name], traces, report)
    features = [trace.features for traces in measured.traces.values() for trace in traces]
    if features:
        loader = pipeline.transforms.index(pipeline.find(LoadPairedPoints))
        report.warnings += [f'{warning}. Set {pipeline.place}.pipeline.{loader}.intensity_scale'
                            for warning in check_features(np.concatenate(features))]


def _check_range_filter(measured: Measurements, pipeline: Pipeline) -> Iterator[Finding]:
    seen = {name: _pool([image.seen for image in images]) for name, images in measured.images.items()}
    seen = {name: one for name, one in seen.items() if len(one.points)}
    for number, transform in enumerate(pipeline.transforms):
        if not isinstance(transform, PairedPointsRangeFilter):
            continue
        given = [float(value) for value in transform.pcd_range]
        effects = {name: range_effect(one, given) for name, one in seen.items()}
        cut = [name for name, effect in effects.items() if not effect.suits]
        if cut:
            wanted = suitable_range(list(seen.values()), given)
            yield Finding(
                'range filter', f'{", ".join(cut)}: point_cloud_range={format_range(given)} '
                f'{effects[cut[0]]}. Set {_range_settings(pipeline, number, wanted)}, and the same in the '
                'other data loaders', camera=cut[0])


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
    """Strips of the images that the pipeline leaves without pairs, unless the range filter is to blame."""
    if any(finding.kind in ('range filter', 'units') for finding in report.findings):
        return
    shown = np.bincount(_pool([image.seen for image in images]).strips, minlength=NUM_STRIPS)
    pairs = np.sum([trace.strips for trace in traces], axis=0)
    if not shown.sum():
        return
    expected = shown / shown.sum() * pairs.sum()
    empty = np.flatnonzero((expected >= MIN_EXPECTED_PAIRS) & (pairs < 0.05 * expected))
    if not pairs.sum() or len(empty) > 1:
        where = describe_strips(empty) if pairs.sum() else 'the whole image'
        yield Finding('no pairs', f'{name}: the pipeline leaves {where} without pairs of a pixel and a point; look '
                      'at its image transforms with tools/browse_dataset.py', camera=name)


def _conclude_calibration(measured: Measurements, report: Report, load_again: LoadAgain) -> None:
    """Verdicts of each camera, and of all. What other findings explain is not called a wrong calibration."""
    odd = {finding.frame for finding in report.findings if finding.kind.startswith('odd ')}
    judged = {name: [image for image in images if not image.late and image.frame not in odd]
              for name, images in measured.images.items()}
    explained = any(finding.kind in ('units', 'depth scale') for finding in report.findings)
    for name, images in judged.items():
        own = explained or any(finding.kind == 'size' and finding.camera == name for finding in report.findings)
        _add_verdict(name, images, report, load_again, own)
    if len(judged) > 1:
        report.cameras[ALL_CAMERAS] = {}
        wrong = any(report.cameras[name]['calibration']['verdict'] == 'wrong' for name in judged)
        _add_verdict(ALL_CAMERAS, sum(judged.values(), []), report, None, explained or wrong)
    _add_notes(measured, report)


def _add_verdict(name: str, images: Sequence[Image], report: Report, load_again: LoadAgain | None,
                 explained: bool) -> None:
    verdict = judge([image.agreement for image in images])
    report.cameras[name]['calibration'] = dict(
        verdict={None: 'undecided', True: 'wrong', False: 'right'}[verdict.wrong],
        score=verdict.score, advantage=verdict.advantage, best=str(verdict.best), num_images=verdict.num_images)
    if not verdict.wrong or explained:
        return
    samples = [Sample(*load_again(image.frame, name)) for image in images[:NUM_EXPLAINED_IMAGES]] if load_again else []
    explanation = explain(samples)
    if explanation is not None:
        report.findings.append(Finding(explanation.kind, f'{name}: {explanation.message}', camera=name))
    else:
        report.findings.append(Finding('calibration score', _describe(name, verdict, len(images)), camera=name))


def _describe(name: str, verdict: CalibrationVerdict, num_opened: int) -> str:
    advice = ('Check extrinsics, intrinsics and which calibration belongs to which drive; look at it with '
              'tools/browse_dataset.py')
    if 2 * verdict.num_images < num_opened:
        return (f'{name}: only {verdict.num_images} of {num_opened} images see objects that the '
                f'LiDAR sees too. {advice}')
    return (f'{name}: depth edges lie on image edges no better than with a wrong calibration '
            f'(score {verdict.score:.1f}); they agree best when the camera is moved by: {verdict.best}. '
            f'{advice}')


def _add_notes(measured: Measurements, report: Report) -> None:
    late = {name: sum(image.late for image in images) for name, images in measured.images.items()}
    if any(late.values()):
        listed = ', '.join(f'{count} of {name}' for name, count in late.items() if count)
        report.notes.append(f'images more than {MAX_TIME_OFFSET} s from their cloud say nothing about the '
                            f'calibration, and were left out of its score: {listed}')
    undecided = [name for name, figures in report.cameras.items()
                 if figures['calibration']['verdict'] == 'undecided']
    if undecided:
        report.notes.append(f'calibration of {", ".join(undecided)}: a verdict needs depth edges '
                            f'in {MIN_IMAGES} images or more')
