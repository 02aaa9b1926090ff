"""Whether the numbers of a file are those of a LiDAR, and if not, what the file seems to hold.

A file of bare numbers says neither their type nor how many belong to one point. Both are told from a sample of the
file: LiDAR coordinates lie within a few orders of magnitude, and x, y, z and intensity differ in sign and magnitude.
With the wrong number of values per point, the columns are all mixtures of the same quantities and differ in nothing.
"""
from collections.abc import Sequence

import numpy as np

MIN_POINTS = 32  # fewer are no basis for statistics
MAX_COORDINATE = 2.0 ** 24  # metres; more than map coordinates have
MIN_MAGNITUDE = 2.0 ** -64  # of a number other than 0; less comes from bits that are no float32
MAX_MAGNITUDE = 2.0 ** 64
MAX_ABSURD_SHARE = 0.005
MIN_RANGE = 0.01  # metres
MAX_DISTANCE_OF_CLOUD = 1e5  # metres from the LiDAR; float32 resolves 8 mm there
STORED_BY_COLUMN = 'the values seem to be stored column by column'
WIDTHS = range(3, 9)  # values per point that are tried

_NUM_CHUNKS = 16
_CHUNK = 420  # consecutive values of a chunk
_CHUNK_STEP = 840  # multiple of all WIDTHS, so that chunks begin with a point
# By preference: what holds float32 may look like integers too.
_TYPES = ('<f4', '<f8', '>f4', '>f8', '<f2', '<i4', '<i2')
# Of large values, where a type is guessed. Integers may be mm, and the upper halves of float32 look like small float16.
_GUESSED_RANGE = {'<f2': (4.0, 1e3), '<i4': (1.0, 1e6), '<i2': (1.0, 1e6)}
_MIN_ORDER = 0.3  # correlation of a point with the next one, which the lower halves of float32 lack


def problem_of(points: np.ndarray, columns: Sequence[int] = (0, 1, 2), layout_known: bool = False) -> str | None:
    """What no LiDAR gives about these numbers, in words, or None.

    Args:
        points: (N, width) float32 in the order of the file; only a sample of them is read.
        columns: Those in use; x, y, z are the first three of a point.
        layout_known: Whether the file itself says how many values a point has.
    """
    values, width = points.reshape(-1), points.shape[1]
    sample, position = _sample(values)
    column = position % width
    for name, index in zip('xyz', range(3)):
        problem = _coordinate_problem(name, sample[column == index], len(values) // width)
        if problem:
            return problem
    for index in columns:
        absurd = _absurd(sample[column == index], MAX_MAGNITUDE)
        if absurd is not None:
            return f'column {index} holds {absurd:.3g}'
    return None if layout_known else _layout_problem(sample, position, width, len(values))


def guess_layout(content: bytes) -> tuple[str, int] | None:
    """The (NumPy type, values per point) with which a file's bytes are a cloud, or None."""
    for kind in _TYPES:
        size = np.dtype(kind).itemsize
        fitting = [width for width in WIDTHS if len(content) % (size * width) == 0]
        if not fitting:
            continue
        sample, position = _sample(np.frombuffer(content, kind))
        with np.errstate(all='ignore'):
            sample = sample.astype(np.float32)
        if not _in_range(sample, *_GUESSED_RANGE.get(kind, (1.0, 1e3))):
            continue
        codes = _codes(sample)
        scores = {width: _distinctness(codes, position % width, width) for width in fitting}
        best = max(scores.values())
        if best > 0.2:
            width = next(width for width in fitting if scores[width] > best - 0.05)
            columns = [sample[position % width == i] for i in range(3)]
            if all(_coordinate_problem('', column, MIN_POINTS) is None for column in columns) and (
                    size > 2 or all(map(_is_ordered, columns))):
                return kind, width
    return None


def _sample(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Some runs of consecutive values, spread over the file, and their places in it."""
    last_start = len(values) - _CHUNK
    if last_start < _NUM_CHUNKS * _CHUNK_STEP:
        position = np.arange(len(values))
    else:
        starts = np.linspace(0, last_start // _CHUNK_STEP, _NUM_CHUNKS).astype(int) * _CHUNK_STEP
        position = (starts[:, None] + np.arange(_CHUNK)).ravel()
    return values[position], position


def _coordinate_problem(name: str, values: np.ndarray, num_points: int) -> str | None:
    absurd = _absurd(values, MAX_COORDINATE)
    if absurd is not None:
        return f'{name} is {absurd:.3g} m'
    values = values[np.isfinite(values)]
    if num_points < MIN_POINTS or len(values) == 0:
        return None
    lowest, highest = values.min(), values.max()
    if lowest == highest:
        return f'{name} is {lowest:g} m in every point'
    # Taking the median is slow, and it lies between the two.
    if name and max(-lowest, highest) > MAX_DISTANCE_OF_CLOUD and abs(np.median(values)) > MAX_DISTANCE_OF_CLOUD:
        return f'{name} is about {np.median(values):.0f} m'
    return None


def _absurd(values: np.ndarray, limit: float) -> float | None:
    """One of the numbers that are too large or too small, if these are not just a few."""
    magnitude = np.abs(values)
    absurd = (magnitude > limit) & (magnitude < np.inf) | ((magnitude < MIN_MAGNITUDE) & (magnitude > 0))
    if np.count_nonzero(absurd) <= MAX_ABSURD_SHARE * len(values):
        return None
    return float(values[absurd][0])


def _layout_problem(sample: np.ndarray, position: np.ndarray, width: int, total: int) -> str | None:
    """Whether another number of values per point separates the columns far better."""
    if len(sample) < 4 * MIN_POINTS:
        return None
    codes = _codes(sample)
    found = _distinctness(codes, position % width, width)
    for other in WIDTHS:
        if other == width:
            continue
        score = _distinctness(codes, position % other, other)
        if score > found + 0.4 or (found < 0.1 and score > 0.2) or (
                other < width and width % other == 0 and score > found - 0.05 and score > 0.2):
            return f'the values repeat every {other}, not every {width}'
    if found < 0.05 and _distinctness(codes, position * width // total, width) > 0.5:
        return STORED_BY_COLUMN
    return None


def _codes(values: np.ndarray) -> np.ndarray:
    """A small number for each number's sign and power of two: 0, 1, ... for those that there are."""
    code = np.ascontiguousarray(values, np.float32).view(np.uint32) >> 23
    there = np.bincount(code, minlength=512) > 0
    return (there.cumsum() - 1)[code]


def _distinctness(codes: np.ndarray, column: np.ndarray, width: int) -> float:
    """Mutual information, in nats, of the column and a number's code.

    0 if all columns hold the same mixture of numbers; less the bias of finite samples.
    """
    num_codes = codes.max() + 1
    counts = np.bincount(column * num_codes + codes, minlength=num_codes * width).reshape(width, num_codes)
    expected = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / len(codes)
    seen = counts > 0
    information = (counts[seen] * np.log(counts[seen] / expected[seen])).sum()
    return (information - (width - 1) * (num_codes - 1) / 2) / len(codes)


def _is_ordered(values: np.ndarray) -> bool:
    """Whether neighbours are alike, as the points of a turn of a LiDAR are."""
    ranks = values.argsort().argsort()
    return np.corrcoef(ranks[:-1], ranks[1:])[0, 1] > _MIN_ORDER


def _in_range(values: np.ndarray, lowest: float, highest: float) -> bool:
    finite = np.abs(values[np.isfinite(values)])
    return len(finite) > 0.8 * len(values) and lowest < np.percentile(finite, 90) < highest
