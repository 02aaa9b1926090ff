"""Which frames are kept for validation: whole scenes, since neighbouring frames are near-copies."""
import hashlib
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import NamedTuple

from ...errors import DataError
from .common import spread

ValScenes = float | Sequence[str]
"""Share of the scenes (evenly spread; 0: none), or the names of those for validation."""


class Scenes(NamedTuple):
    """Frames by scene for training and for validation, and what is to be said about the choice."""
    train: dict[str, list]
    val: dict[str, list]
    note: str


def choose_val_scenes(names: Sequence[str], val_scenes: ValScenes) -> list[str]:
    """The scenes for validation.

    Args:
        names: All scenes. A single one is left to training if ``val_scenes`` is a share.
        val_scenes: A share, 0 <= share < 1, which leaves one scene to training at least, or names.

    Raises:
        DataError: It is no such share, there is no scene of that name, or none is left for training.
    """
    if isinstance(val_scenes, (int, float)):
        if not 0 <= val_scenes < 1:
            raise DataError(f'expected 0 <= --val-scenes < 1, got {val_scenes}')
        return spread(names, val_scenes)[:len(names) - 1] if val_scenes else []
    for name in val_scenes:
        if name not in names:
            likely = get_close_matches(name, names, n=3) or list(names[:10])
            raise DataError(f'--val-scenes: no scene {name}; expected names such as {", ".join(likely)}')
    if val_scenes and set(val_scenes) == set(names):
        raise DataError(f'--val-scenes names all scenes ({", ".join(names)}), which leaves none for training; '
                        'leave one out, or add drives')
    return list(val_scenes)


def parse_val_scenes(values: Sequence[str]) -> ValScenes:
    """``--val-scenes`` as typed: 0 or a number with a decimal point is a share, all else are names.

    KITTI's odometry sequences are called 00, 01, ..., so not every number is a share.
    """
    if len(values) == 1 and (values[0] == '0' or '.' in values[0]):
        try:
            return float(values[0])
        except ValueError:
            pass
    return values


def hold_out_scenes(scenes: Mapping[str, list], val_scenes: ValScenes) -> Scenes:
    """Keep the scenes that ``val_scenes`` says for validation; see ``choose_val_scenes``."""
    return _without(scenes, choose_val_scenes(list(scenes), val_scenes))


def hold_out_share(scenes: Mapping[str, list], share: float) -> Scenes:
    """Keep a share of the frames for validation, at least one and never all.

    Of several scenes, whole ones are kept whose frames together come near to the share. A single
    scene gives its last frames.

    Args:
        scenes: Frames in order of time, by scene.
        share: Of the frames.

    Raises:
        DataError: The share is not between 0 and 1, or there is but one frame.
    """
    if not 0 < share < 1:
        raise DataError(f'expected 0 < --val-share < 1, got {share:g}')
    if len(scenes) > 1:
        return _without(scenes, _nearest_to_share(scenes, share))
    (name, frames), = scenes.items()
    if len(frames) < 2:
        raise DataError('--val-share: a single frame cannot be divided into training and validation; add frames, or '
                        'leave --val-share out and train with --no-val')
    count = min(max(round(share * len(frames)), 1), len(frames) - 1)
    note = (f'validation: the last {count} of {len(frames)} frames, as all are of one drive. The first of them are '
            'near-copies of the last training frames; a drive of its own would be a better test')
    return Scenes({name: frames[:-count]}, {name: frames[-count:]}, note)


def _without(scenes: Mapping[str, list], kept: Sequence[str]) -> Scenes:
    train = {name: frames for name, frames in scenes.items() if name not in kept}
    val = {name: scenes[name] for name in kept}
    num_val, num_all = (sum(map(len, part.values())) for part in (val, scenes))
    listed = ', '.join(kept[:5]) + (', ...' if len(kept) > 5 else '')
    return Scenes(train, val, f'validation: {num_val} of {num_all} frames, those of {listed}' if kept else '')


def _nearest_to_share(scenes: Mapping[str, list], share: float) -> list[str]:
    """Scenes are added as long as that brings their frames nearer to the share; one at least, never all."""
    wanted = share * sum(map(len, scenes.values()))
    # An order that neither time nor place rules and that a further drive does not change.
    left = sorted(scenes, key=lambda name: hashlib.sha1(name.encode()).digest())
    kept, total = [], 0
    while len(left) > 1:
        best = min(left, key=lambda name: abs(total + len(scenes[name]) - wanted))
        if kept and abs(total + len(scenes[best]) - wanted) >= abs(total - wanted):
            break
        left.remove(best)
        kept.append(best)
        total += len(scenes[best])
    return kept
