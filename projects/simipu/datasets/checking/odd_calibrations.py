"""Frames whose calibration is unlike that of the same camera in the other frames."""
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from ...geometry import invert_matrix
from .depth_edges import split_projection
from .report import Finding

MAX_ANGLE = 5.0
"""Degrees between two frames; what a vehicle turns between the moments of LiDAR and camera is less."""
MAX_SHIFT = 10.0
MAX_FOCAL_RATIO = 1.05
MAX_ODD_SHARE = 0.1
MIN_FRAMES = 3


class FrameCalibration(NamedTuple):
    """Of one image.

    Position of its ``frame`` in the info file, focal length in pixels, and ``pose`` (4, 4), LiDAR to camera.
    """

    frame: int
    focal_length: float
    pose: np.ndarray


def check_odd_calibrations(frames: dict[int, dict], infos: Sequence[dict]) -> Iterator[Finding]:
    """Poses and focal lengths that only some frames of a camera have.

    Compared is within a sequence, since every drive may have a calibration of its own; within the whole
    info file where it names no sequences.

    Args:
        frames: By position in the info file, frames as ``PairedDataset`` parses them.
        infos: The info file's ``data_list``.
    """
    groups = defaultdict(list)
    for index, frame in frames.items():
        for name, size, lidar2img in zip(frame['cam_names'], frame['img_size'], frame['lidar2img']):
            intrinsics, pose = split_projection(lidar2img)
            focal_length = float(np.sqrt(abs(intrinsics[0, 0] * intrinsics[1, 1])))
            groups[infos[index].get('sequence'), name, size].append(FrameCalibration(index, focal_length, pose))
    for (_, name, _), members in groups.items():
        if len(members) >= MIN_FRAMES:
            yield from _odd_poses(name, members)
            yield from _focal_lengths(name, members)


def _odd_poses(name: str, members: Sequence[FrameCalibration]) -> Iterator[Finding]:
    poses = np.stack([member.pose for member in members])
    median = np.median(poses, axis=0)
    usual = poses[np.abs(poses - median).sum(axis=(1, 2)).argmin()]
    odd = [member for member in members if not _alike(member.pose, usual)]
    if len(odd) > max(1, MAX_ODD_SHARE * len(members)):
        return
    for member in odd:
        angle, shift = _difference(member.pose, usual)
        yield Finding('odd calibration', f'frame {member.frame}, {name}: its pose is turned by {angle:.0f} degrees and '
                      f'moved by {shift:.2g} m from that of the other {len(members) - len(odd)} frames'
                      f'{_explanation(member.pose, usual)}', member.frame, name)


def _explanation(pose: np.ndarray, usual: np.ndarray) -> str:
    transposed = usual.copy()
    transposed[:3, :3] = usual[:3, :3].T
    inverse = invert_matrix(usual, 'pose')
    closest = min((inverse, transposed), key=lambda other: _difference(pose, other)[1])
    if not _alike(pose, closest):
        return '. Write the calibration of this frame anew'
    if closest is inverse:
        return '; it is the inverse of theirs (camera to LiDAR). Invert it'
    return '; its rotation is the transpose of theirs. Transpose it'


def _alike(pose: np.ndarray, other: np.ndarray) -> bool:
    angle, shift = _difference(pose, other)
    return angle <= MAX_ANGLE and shift <= MAX_SHIFT


def _difference(pose: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """Degrees between two poses, and metres between their translations."""
    cosine = (np.trace(pose[:3, :3].T @ other[:3, :3]) - 1) / 2
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1)))), float(np.linalg.norm(pose[:3, 3] - other[:3, 3]))


def _focal_lengths(name: str, members: Sequence[FrameCalibration]) -> Iterator[Finding]:
    ordered = sorted(members, key=lambda member: member.focal_length)
    groups = [[ordered[0]]]
    for member in ordered[1:]:
        if member.focal_length > MAX_FOCAL_RATIO * groups[-1][-1].focal_length:
            groups.append([])
        groups[-1].append(member)
    if len(groups) == 1:
        return
    found = ', '.join(f'{group[0].focal_length:.4g} pixels in {len(group)} (frame {group[0].frame}'
                      f'{" ..." if len(group) > 1 else ""})' for group in groups)
    few = min(groups, key=len)
    yield Finding('odd calibration', f'{name}: different focal lengths in frames with images of one size: {found}. '
                  'A camera has one; correct those that are wrong, or give another camera another name',
                  few[0].frame, name)
