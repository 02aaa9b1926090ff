"""Numbers of a config that are out of range, by the name of the setting."""
import math
from collections.abc import Iterator
from typing import Any

_COUNTS = {  # at least 1, each of several
    'num_points', 'in_channels', 'hidden_channels', 'out_channels', 'num_layers', 'num_cameras', 'gallery_frames',
    'rows_per_frame', 'max_scored_rows', 'max_logits', 'queue_size', 'max_pairs_per_frame', 'max_in_a_row',
    'max_points', 'neighbours', 'accumulative_counts', 'window_size', 'pad_size_divisor', 'num_samples', 'scale',
    'size', 'load_dim'}
_POSITIVE = {'temperature', 'voxel_size', 'radii', 'max_distance', 'std', 'gamma', 'max_norm', 'clip_value',
             'start_factor'}
_NOT_NEGATIVE = {'lr', 'weight_decay', 'momentum', 'tolerance', 'loss_weight', 'translation_std', 'max_angle', 'begin'}
_SHARES = {'prob', 'flip_prob', 'visible_share', 'max_bad_share', 'key_momentum', 'min_inside', 'max_covered'}


def out_of_range(name: str, value: Any, path: str) -> Iterator[str]:
    """One sentence for a setting of this package or MMEngine that no number of its value may have.

    Args:
        name: Of the argument.
        value: A number or nested sequences of numbers; anything else is ignored.
        path: For the message.
    """
    limits = ((_COUNTS, 'at least 1', lambda number: number >= 1),
              (_POSITIVE, 'above 0 and finite', lambda number: 0 < number < math.inf),
              (_NOT_NEGATIVE, 'at least 0 and finite', lambda number: 0 <= number < math.inf),
              (_SHARES, 'from 0 to 1', lambda number: 0 <= number <= 1))
    for names, expected, fits in limits:
        if name in names and not all(map(fits, _numbers(value))):
            yield f'{path}: expected {expected}, found {value!r}'


def not_a_number(value: Any, path: str) -> Iterator[str]:
    """One sentence for each NaN inside."""
    if isinstance(value, float) and math.isnan(value):
        yield f'{path}: expected a number, found nan'
    items = value.items() if isinstance(value, dict) else (
        ((f'[{index}]', item) for index, item in enumerate(value)) if isinstance(value, list | tuple) else ())
    for key, item in items:
        yield from not_a_number(item, path + key if str(key).startswith('[') else f'{path}.{key}')


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, list | tuple):
        for item in value:
            yield from _numbers(item)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield value
