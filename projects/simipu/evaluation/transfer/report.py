"""Measurements of several backbones as a table, a JSON file and a plot."""
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import NamedTuple

import mmengine

from ...files import write_whole
from ..linear_probe import DepthErrors
from .benchmark import SCRATCH, FrameSplit, Measurement, Settings

Measurements = Mapping[str, Measurement]
"""By the name of the backbone or control."""


class Ratio(NamedTuple):
    """AbsRel over that of a baseline with the same seed: for each seed, their mean, the largest."""
    seeds: list[float]
    mean: float
    worst: float


def ratio(errors: Sequence[DepthErrors], baseline: Sequence[DepthErrors]) -> Ratio:
    """AbsRel of one backbone over that of another, seed by seed; below 1 is better than it."""
    seeds = [ours.abs_rel / theirs.abs_rel for ours, theirs in zip(errors, baseline)]
    return Ratio(seeds, mean(seeds), max(seeds))


def write_report(folder: str | Path, measurements: Measurements, settings: Settings,
                 split: FrameSplit) -> str:
    """Write ``transfer.txt``, ``transfer.json`` and ``transfer.png``, and return the text.

    Args:
        folder: Created if missing.
        measurements: With one named ``SCRATCH``.
        settings: They were made with.
        split: The frames that they were made on.
    """
    folder = Path(folder)
    titles = _titles(settings, split)
    text = f'{split.describe(settings)}\n\n{format_tables(measurements, titles)}\n'
    write_whole(folder / 'transfer.txt', text.encode())
    content = dict(settings=settings._asdict(), frames=split.describe(settings),
                   backbones={name: _as_dict(item, measurements[SCRATCH])
                              for name, item in measurements.items()})
    write_whole(folder / 'transfer.json', mmengine.dump(content, file_format='json', indent=2).encode())
    draw_bars(folder / 'transfer.png', measurements, titles)
    return text


def _titles(settings: Settings, split: FrameSplit) -> dict[str, str]:
    """Of the tasks, by the field of ``Measurement``."""
    probed, tuned = (min(count, len(split.labelled))
                     for count in (settings.probe_frames, settings.finetune_frames))
    return dict(probe=f'frozen probe on {probed} labelled frames',
                finetune=f'fine-tuning on {tuned} labelled frames, {settings.steps} steps',
                finetune_long=f'fine-tuning on {tuned} labelled frames, {4 * settings.steps} steps')


def _as_dict(item: Measurement, scratch: Measurement) -> dict:
    """Errors of every seed and ratios to scratch by task, and the learning rates tried."""
    content = {task: dict(errors=[errors._asdict() for errors in getattr(item, task)],
                          ratio_to_scratch=ratio(getattr(item, task), getattr(scratch, task))._asdict())
               for task in ('probe', 'finetune', 'finetune_long') if getattr(item, task)}
    if item.tuning:
        content['learning_rate'] = dict(chosen=item.learning_rate, held_out_abs_rel=item.tuning)
    return content


def format_tables(measurements: Measurements, titles: Mapping[str, str]) -> str:
    """A table for each task that was measured: mean and deviation over the seeds, and the ratio to scratch.

    Args:
        measurements: With one named ``SCRATCH``.
        titles: By the field of ``Measurement``.
    """
    width = max(map(len, measurements))
    tables = []
    for task, title in titles.items():
        rows = {name: getattr(item, task) for name, item in measurements.items() if getattr(item, task)}
        if rows:
            header = ' '.join(f'{column:>15}' for column in
                              ('AbsRel', 'RMSE, m', 'RMSE of log', 'delta < 1.25'))
            header = (f'{"":{width}}  {header} {"AbsRel / scratch":>17} {"worst":>6}'
                      f'{"" if task == "probe" else "  learning rate"}')
            lines = [_row(name, width, errors, rows[SCRATCH], task, measurements[name])
                     for name, errors in rows.items()]
            tables.append('\n'.join([title, header, *lines]))
    return '\n\n'.join(tables)


def draw_bars(path: str | Path, measurements: Measurements, titles: Mapping[str, str]) -> None:
    """A panel for each task: mean AbsRel of each backbone as a bar, every seed as a dot."""
    from matplotlib.figure import Figure  # here, as other commands need not wait for it

    tasks = {task: title for task, title in titles.items()
             if getattr(measurements[SCRATCH], task)}
    names = list(measurements)
    figure = Figure(figsize=(5 * len(tasks) + 1, 0.5 * len(names) + 1.2), layout='constrained')
    panels = figure.subplots(1, len(tasks), sharey=True, squeeze=False)[0]
    for axes, (task, title) in zip(panels, tasks.items()):
        for place, name in enumerate(names):
            values = [errors.abs_rel for errors in getattr(measurements[name], task)]
            if values:
                axes.barh(place, mean(values), color='C7' if name == SCRATCH else 'C0', alpha=0.6)
                axes.plot(values, [place] * len(values), 'k.')
        axes.set_title(title, fontsize=10)
        axes.set_xlabel('AbsRel (lower is better)')
        axes.grid(axis='x', alpha=0.3)
    panels[0].set_yticks(range(len(names)), names)
    panels[0].invert_yaxis()
    figure.savefig(path, dpi=120)


def _row(name: str, width: int, errors: Sequence[DepthErrors], scratch: Sequence[DepthErrors], task: str,
         measurement: Measurement) -> str:
    columns = [f'{mean(values):7.3f} ± {_deviation(values):5.3f}' for values in zip(*errors)]
    against = ratio(errors, scratch)
    line = f'{name:{width}}  {" ".join(columns)} {against.mean:17.2f} {against.worst:6.2f}'
    return line if task == 'probe' else f'{line}  {_rate(measurement)}'


def _deviation(values: Sequence[float]) -> float:
    return stdev(values) if len(values) > 1 else 0.0


def _rate(measurement: Measurement) -> str:
    """The chosen learning rate, with a note where a better one may lie beyond the range tried."""
    at_edge = measurement.learning_rate in (min(measurement.tuning), max(measurement.tuning))
    return f'{measurement.learning_rate:g}' + (' (edge of the range)' if at_edge else '')
