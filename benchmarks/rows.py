"""The rows of a benchmark's table: how each backbone comes about, and what was measured of it.

What is there is kept. A pre-training that was stopped goes on; measurements of a row and a seed are one JSON
file, written whole, to which tasks are added.
"""
import hashlib
import json
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from statistics import mean, stdev
from typing import NamedTuple

import torch
from filelock import FileLock  # which torch requires
from made_with import check_made_with
from mmengine.config import Config

from simipu.checkpoints import export_backbone
from simipu.config import read_with_overrides
from simipu.engine import launch
from simipu.evaluation.linear_probe import NUM_PARTS, PENALTIES
from simipu.files import write_whole

PROJECT = Path(__file__).resolve().parents[1]

Figures = dict[str, float]
"""By name, of one task."""


class Pretraining(NamedTuple):
    """How a backbone is made.

    Attributes:
        config: Of the pre-training.
        changes: Of the config, by key.
        length: Iterations, as a multiple of the benchmark's; chosen so that all rows cost the same.
        start: The row whose backbone of the same seed it starts from; None: random weights.
        amp: Whether it is trained in mixed precision; that of a GPU and of a CPU are different settings.
    """
    config: Path
    changes: Mapping[str, object] = {}
    length: float = 1.0
    start: str | None = None
    amp: bool = False


CONFIGS = PROJECT / 'configs'
CONFIG = CONFIGS / 'simipu_synthetic.py'  # what backbones are measured with, too
# At equal cost, in processor time of an iteration with its loading: one of depth alone takes 0.63 of the time of one of
# SimIPU, one of all losses 1.14; one of depth, surfaces and occupancy alone 0.77, added up from these.
RECIPES = {
    'SimIPU': Pretraining(CONFIG),
    'depth regression': Pretraining(CONFIGS / 'simipu_r18-depth-only_1xb4-500iters_synthetic.py', length=1.6),
    'geometry regression': Pretraining(CONFIGS / 'simipu_r18-geometry-only_1xb4-500iters_synthetic.py', length=1.3),
    'SimIPU + geometry': Pretraining(CONFIGS / 'simipu_r18-with-geometry_1xb4-500iters_synthetic.py', length=0.88),
}
RECOMMENDED = 'SimIPU + geometry'
STRONG = 'strong start'
STRONG_ROWS = {
    STRONG: Pretraining(PROJECT / 'benchmarks' / 'object_classifier.py'),  # in the place of ImageNet
    **{f'{STRONG} + {name}': RECIPES[name]._replace(start=STRONG)
       for name in ('depth regression', 'geometry regression', RECOMMENDED)},
}
# Figures of another one are no rows of the same table.
PROBE = f'probe: penalties {PENALTIES}, {NUM_PARTS} parts of frames in order'


def pretrain(folder: Path, cfg: Config) -> Path:
    """Pre-train in a process of its own with one thread; the exported backbone.

    Of two processes that want the same backbone, one waits for the other to train it.

    Args:
        folder: Of logs, checkpoints and the backbone; an earlier run with equal settings goes on.
        cfg: As ``pretraining_config`` makes it.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f'{folder}.lock'):
        check_made_with(folder, cfg.pretty_text)
        backbone = folder / 'backbone.pth'
        if not backbone.is_file():
            _train(folder, cfg)
            export_backbone((folder / 'last_checkpoint').read_text(), backbone)
            print(f'pre-trained {folder.name}', flush=True)
    return backbone


def _train(folder: Path, cfg: Config) -> None:
    cfg.dump(folder / 'config.py')
    path = os.pathsep.join([str(PROJECT / 'benchmarks'), os.environ.get('PYTHONPATH', '')])
    environment = dict(os.environ, OMP_NUM_THREADS='1', PYTHONWARNINGS='ignore', PYTHONPATH=path)
    log = folder / 'train.txt'
    with open(log, 'w') as stream:
        done = subprocess.run([sys.executable, str(PROJECT / 'tools' / 'train.py'), str(folder / 'config.py'),
                               '--resume', '--work-dir', str(folder)],
                              stdout=stream, stderr=subprocess.STDOUT, cwd=PROJECT, env=environment)
    if done.returncode:
        last_line = (log.read_text().splitlines() or ['no output'])[-1]
        sys.exit(f'error: the pre-training of {folder.name} failed: {last_line}\nAll of its output is in {log}')


def pretraining_config(row: Pretraining, seed: int, iterations: int, data: Path, start: Path | None = None) -> Config:
    """The row's config without validation, and with all that its file makes of ``max_iters`` as of the new length.

    Args:
        row: How.
        seed: Of the training.
        iterations: Before ``row.length``.
        data: Folder of frames to train on.
        start: Backbone to start from.
    """
    length = round(row.length * iterations)
    cfg = read_with_overrides(row.config, {'max_iters': length, 'seed': seed, **row.changes})
    launch.disable_validation(cfg)
    if start is not None:
        cfg.model.img_backbone.init_cfg = dict(type='Pretrained', checkpoint=str(start))
    if row.amp:
        launch.enable_amp(cfg)
    return launch.with_data_root(cfg, str(data))


class Measured:
    """Figures of rows and seeds, a file each, with the checksum of the backbone that they are of.

    Args:
        folder: Made if need be.
        settings: Text that is equal for equal settings; files of others are refused.
    """

    def __init__(self, folder: Path, settings: str) -> None:
        check_made_with(folder, settings)
        self.folder = folder

    def complete(self, row: str, seed: int, backbone: Path | None, tasks: Mapping[str, Callable[[], Figures]]) -> None:
        """Measure those of ``tasks`` that are not in the file of the row and seed; all, if that is of other weights.

        Args:
            row: Name.
            seed: Of the backbone.
            backbone: File of its weights; None: random weights, or none at all.
            tasks: Functions that measure, by the names of what they measure.
        """
        file, checksum = self._file(row, seed), _checksum(backbone)
        kept = json.loads(file.read_text()) if file.is_file() else {}
        if kept and kept['backbone'] != checksum:
            print(f'{row}, seed {seed}: the figures that are there are of other weights; measured anew', flush=True)
            kept = {}
        found = kept.get('figures', {})
        for task, measure in tasks.items():
            if task not in found:
                found[task] = measure()
                write_whole(file, json.dumps(dict(backbone=checksum, figures=found), indent=2).encode())
                print(f'{row}, seed {seed}, {task}: ' + ', '.join(
                    f'{name} {value:.3g}' for name, value in found[task].items()), flush=True)

    def read(self, row: str, seed: int) -> dict[str, Figures]:
        """Figures by task; none where nothing has been measured."""
        file = self._file(row, seed)
        return json.loads(file.read_text())['figures'] if file.is_file() else {}

    def table(self, rows: Sequence[str]) -> dict[str, dict[int, dict[str, Figures]]]:
        """Figures by row, seed and task, of all files of these rows."""
        seeds = {row: self._seeds(row) for row in rows}
        return {row: {seed: self.read(row, seed) for seed in of_row} for row, of_row in seeds.items() if of_row}

    def _seeds(self, row: str) -> list[int]:
        stem = re.compile(rf'{re.escape(_stem(row))}_seed(\d+)')
        return sorted(int(match[1]) for file in self.folder.glob('*.json') if (match := stem.fullmatch(file.stem)))

    def _file(self, row: str, seed: int) -> Path:
        return self.folder / f'{_stem(row)}_seed{seed}.json'


def _checksum(file: Path | None) -> str | None:
    return None if file is None else hashlib.sha256(file.read_bytes()).hexdigest()


def run_all(work: Callable[[str, int], None], rows: Sequence[str], seeds: int, num_workers: int) -> None:
    """Call ``work(row, seed)`` for all rows and seeds, some at a time, each in a process of one thread.

    Where one fails, those that are running end, no other starts, and its error is raised.

    Args:
        work: A function that can be pickled.
        rows: Names.
        seeds: From 0.
        num_workers: How many at a time.
    """
    os.environ['OMP_NUM_THREADS'] = '1'
    with ProcessPoolExecutor(num_workers, get_context('spawn'), _start_worker) as pool:
        futures = [pool.submit(work, row, seed) for seed in range(seeds) for row in rows]
        try:
            for future in as_completed(futures):
                future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _start_worker() -> None:
    torch.set_num_threads(1)
    warnings.filterwarnings('ignore')


def _stem(row: str) -> str:
    return row.replace(' ', '_')


def folder_of(out: Path, row: str, seed: int) -> Path:
    """Of a row's pre-training."""
    return out / f'{_stem(row)}_seed{seed}'


class Column(NamedTuple):
    """A task and which of its figures stands for it."""
    task: str
    figure: str


Table = Mapping[str, Mapping[int, Mapping[str, Figures]]]


def values(table: Table, row: str, column: Column) -> dict[int, float]:
    """Of a row, by seed."""
    return {seed: tasks[column.task][column.figure] for seed, tasks in table.get(row, {}).items()
            if column.task in tasks}


def paired(table: Table, row: str, other: str, column: Column) -> list[float]:
    """Ratios of two rows, seed by seed, of the seeds that both have; none to an AP of 0."""
    ours, theirs = values(table, row, column), values(table, other, column)
    return [ours[seed] / theirs[seed] for seed in sorted(ours.keys() & theirs.keys()) if theirs[seed]]


def format_table(table: Table, columns: Sequence[Column]) -> str:
    """A Markdown table: mean and deviation over the seeds."""
    return _markdown('backbone', columns, {
        row: [_spread(list(values(table, row, column).values())) for column in columns] for row in table})


def format_ratios(table: Table, pairs: Sequence[tuple[str, str]], columns: Sequence[Column]) -> str:
    """A Markdown table: mean of the paired ratios, and each of them."""
    ratios = {f'{row} / {other}': [_ratio(paired(table, row, other, column)) for column in columns]
              for row, other in pairs}
    return _markdown('ratio', columns, {pair: cells for pair, cells in ratios.items() if any(cells)})


def _markdown(title: str, columns: Sequence[Column], rows: Mapping[str, Sequence[str]]) -> str:
    header = [title, *(f'{task}, {figure}' for task, figure in columns)]
    lines = [header, ['---'] * len(header), *([row, *cells] for row, cells in rows.items())]
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


def _spread(numbers: list[float]) -> str:
    if not numbers:
        return ''
    return f'{mean(numbers):.3f}' + (f' ± {stdev(numbers):.3f}' if len(numbers) > 1 else '')


def _ratio(ratios: list[float]) -> str:
    each = f' ({", ".join(f"{ratio:.2f}" for ratio in ratios)})' if len(ratios) > 1 else ''
    return f'{mean(ratios):.2f}{each}' if ratios else ''
