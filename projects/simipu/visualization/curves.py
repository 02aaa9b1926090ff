"""Training curves from the log that MMEngine writes."""
import json
import os
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from ..errors import DataError

Scalars = dict[str, tuple[list, list]]
"""For each logged name its iterations and its values."""


class _Panel(NamedTuple):
    title: str
    names: tuple[str, ...]
    """Beginnings of the names of the scalars that it shows."""


PANELS = (
    _Panel('losses', ('loss', )),
    _Panel('accuracy within the batch, %', ('acc_top1', )),
    _Panel('retrieval on the validation set, %', ('retrieval/top', 'retrieval/chance')),
    _Panel('depth probe: errors', ('depth_probe/abs_rel', 'depth_probe/rmse_log')),
    _Panel('depth probe: within a factor of 1.25', ('depth_probe/delta1', )),
    _Panel('learning rate', ('lr', )),
)


def read_scalars(work_dir: str | os.PathLike) -> Scalars:
    """Read every ``vis_data/scalars.json`` of a work folder, a resumed training as one.

    MMEngine logs validation under the epoch where training is by epoch; here it stands at the last
    iteration logged before it.

    Raises:
        DataError: There is no such file, or a line of it cannot be read.
    """
    files = sorted(Path(work_dir).glob('**/vis_data/scalars.json'))
    if not files:
        raise DataError(f'{work_dir}: no vis_data/scalars.json in it or below; expected the work '
                        'dir of a training that has logged at least once')
    series: dict[str, dict[int, float]] = {}
    for file in files:
        _read_file(file, series)
    return {name: tuple(map(list, zip(*sorted(values.items())))) for name, values in series.items()}


def _read_file(file: Path, series: dict[str, dict[int, float]]) -> None:
    step = 0
    for number, line in enumerate(file.read_text().splitlines(), 1):
        if not line.strip():
            continue
        try:
            scalars = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(f'{file}, line {number}: expected one JSON object a line, found '
                            f'{line[:60]!r}; was it cut short? Remove the line') from error
        if 'loss' in scalars:  # of training, where the step is the iteration
            step = scalars['step']
        for name, value in scalars.items():
            series.setdefault(name, {})[step] = value


def draw_training_curves(scalars: Scalars, width: int = 1200) -> np.ndarray:
    """Draw losses, accuracies, retrieval and depth probe over iterations, each where logged.

    Returns:
        (H, W, 3) BGR uint8.

    Raises:
        DataError: Nothing to draw was logged.
    """
    # Here, as other commands need not wait for them.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = [(panel, [name for name in scalars if name.startswith(panel.names)])
              for panel in PANELS]
    panels = [(panel, names) for panel, names in panels if names]
    if not panels:
        raise DataError('the log holds nothing to draw; expected losses, found '
                        f'{", ".join(scalars) or "nothing"}')
    rows = (len(panels) + 1) // 2
    figure = Figure(figsize=(width / 100, 3 * rows), dpi=100, layout='constrained')
    for i, (panel, names) in enumerate(panels):
        axes = figure.add_subplot(rows, 2, i + 1)
        for name in names:
            steps, values = scalars[name]
            axes.plot(steps, values, label=name.rpartition('/')[2], lw=1.5,
                      marker='.' if len(steps) < 30 else None)
        axes.set_title(panel.title)
        axes.set_xlabel('iteration')
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return cv2.cvtColor(np.asarray(canvas.buffer_rgba()), cv2.COLOR_RGBA2BGR)
