"""Metrics of two evaluations side by side."""
from collections.abc import Mapping


def compare_metrics(before: Mapping[str, float], after: Mapping[str, float]) -> str:
    """A table of the metrics that both evaluations have, with the ratio after / before.

    Args:
        before: Metric names and values, as ``simipu test --out`` writes them. Timings are
            left out.
        after: The same of the other evaluation.
    """
    names = [name for name in before if name in after and '/' in name]
    width = max(map(len, names), default=0)
    lines = [f'{"":{width}}  {"before":>10} {"after":>10} {"ratio":>7}']
    for name in names:
        ratio = f'{after[name] / before[name]:7.2f}' if before[name] else f'{"-":>7}'
        lines.append(f'{name:{width}}  {before[name]:10.3f} {after[name]:10.3f} {ratio}')
    return '\n'.join(lines)
