"""Metrics of two evaluations side by side."""
import json
import sys
from collections.abc import Mapping
from pathlib import Path

from ..errors import DataError


def read_metrics(path: str | Path) -> dict[str, float]:
    """The metrics that ``simipu test --out`` wrote.

    Raises:
        DataError: There is no such file, or it is no JSON object of numbers.
    """
    path = Path(path)
    remedy = 'give a JSON file that `simipu test --out` wrote'
    if not path.is_file():
        raise DataError(f'no file {path}; {remedy}')
    try:
        metrics = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:  # no JSON, or no text at all
        raise DataError(f'{path}: expected JSON ({error}); {remedy}') from error
    if not isinstance(metrics, dict) or not metrics:
        raise DataError(f'{path}: expected metrics by name, found {str(metrics)[:40]}; {remedy}')
    for name, value in metrics.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > sys.float_info.max:
            raise DataError(f'{path}: {name}: expected a number, found {str(value)[:40]!r}; {remedy}')
    return metrics


def compare_metrics(before: Mapping[str, float], after: Mapping[str, float]) -> str:
    """A table of the metrics that both evaluations have, with the ratio after / before.

    Args:
        before: Metric names and values, as ``simipu test --out`` writes them. Timings are
            left out.
        after: The same of the other evaluation.

    Raises:
        DataError: They have no metric in common.
    """
    names = [name for name in before if name in after and '/' in name]
    if not names:
        raise DataError(f'no metric is in both: {", ".join(before)} before, {", ".join(after)} after; compare two '
                        'evaluations by the same metrics')
    width = max(map(len, names), default=0)
    lines = [f'{"":{width}}  {"before":>10} {"after":>10} {"ratio":>7}']
    for name in names:
        ratio = f'{after[name] / before[name]:7.2f}' if before[name] else f'{"-":>7}'
        lines.append(f'{name:{width}}  {before[name]:10.3f} {after[name]:10.3f} {ratio}')
    return '\n'.join(lines)
