"""Does SimIPU transfer? Pre-trains rival backbones on generated scenes, and measures each of them.

    python benchmarks/transfer.py --out work_dirs/transfer_benchmark
    python benchmarks/transfer.py --out work_dirs/transfer_benchmark --all

The first takes 17 minutes on two cores: the rows of DEFAULT_ROWS, one seed, all tasks but detection. With
--all, three seeds, every task and all rows but three, about three and a half hours. Either may be stopped and called
again, with more rows, seeds or tasks: frames, backbones and figures that are in the folder are kept.
"""
import argparse
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path

import detection
from generated_frames import NUM_TRAIN, NUM_VAL, make_frames
from mmengine.config import Config
from rows import (
    CONFIG,
    PROBE,
    PROJECT,
    RECIPES,
    RECOMMENDED,
    STRONG,
    STRONG_ROWS,
    Column,
    Figures,
    Measured,
    Pretraining,
    folder_of,
    format_ratios,
    format_table,
    pretrain,
    pretraining_config,
    run_all,
)

from simipu.engine import launch
from simipu.evaluation.transfer import OBJECT, SURFACE, ProbeTarget, Settings, TransferBenchmark

ITERATIONS = 500
MAX_SEEDS = 10
SETTINGS = Settings(num_seeds=MAX_SEEDS)

SCRATCH, PLACE = 'scratch', 'place only'
ROWS: dict[str, Pretraining | None] = {
    SCRATCH: None,  # PyTorch's initialisation, the best one
    PLACE: None,
    'mispaired': Pretraining(CONFIG, {'train_dataloader.dataset.type': 'MispairedDataset'}),
    'original': Pretraining(PROJECT / 'benchmarks' / 'simipu_synthetic_original.py'),
    **RECIPES,
    **STRONG_ROWS,
}
CONTROLS = (PLACE, 'mispaired', 'original')  # only probed
# With these it would take over four hours.
BEYOND_ALL = ('geometry regression', f'{STRONG} + depth regression', f'{STRONG} + geometry regression')
ROWS_OF_ALL = [row for row in ROWS if row not in BEYOND_ALL]
DEFAULT_ROWS = (SCRATCH, PLACE, 'depth regression', RECOMMENDED)
RATIOS = [*((RECOMMENDED, other) for other in (SCRATCH, PLACE, 'mispaired', 'original', 'depth regression',
                                               'geometry regression', 'SimIPU')),
          ('SimIPU', SCRATCH), ('SimIPU', 'mispaired'), ('SimIPU', 'depth regression'), (STRONG, SCRATCH),
          *((f'{STRONG} + {RECOMMENDED}', other) for other in (
              STRONG, f'{STRONG} + depth regression', f'{STRONG} + geometry regression', RECOMMENDED))]

PROBES = ('depth probe', 'beyond place', 'surfaces', 'objects', 'another world')
DETECTION = {f'detection {labelled}': labelled for labelled in detection.LABELLED}
TASKS = (*PROBES, 'fine-tuning', *DETECTION)
DEFAULT_TASKS = (*PROBES, 'fine-tuning')
COLUMNS = [Column('depth probe', 'abs_rel'), Column('beyond place', 'to_place'), Column('surfaces', 'degrees'),
           Column('objects', 'error'), Column('another world', 'abs_rel'), Column('fine-tuning', 'abs_rel'),
           *(Column(task, 'mAP') for task in DETECTION)]


def backbone(out: Path, row: str, seed: int, iterations: int) -> Path | None:
    """Exported weights of a row, pre-trained if they are not there yet; None for random weights."""
    how = ROWS[row]
    if how is None:
        return None
    start = backbone(out, how.start, seed, iterations) if how.start else None
    return pretrain(folder_of(out, row, seed), pretraining_config(how, seed, iterations, out / 'data', start))


def tasks_of(row: str, seed: int, checkpoint: Path | None, out: Path) -> Iterator[tuple[str, Callable[[], Figures]]]:
    """What is measured of a row, by the name of the task."""
    checkpoints = [str(checkpoint)] if checkpoint else None
    only = row == PLACE
    for task, data, target in (('depth probe', 'data', None), ('another world', 'another_world', None),
                               ('surfaces', 'data', SURFACE), ('objects', 'data', OBJECT)):
        yield task, partial(probe, out / data, target, seed, checkpoints, only)
    if not only:
        yield 'beyond place', partial(probe_beyond_place, out / 'data', seed, checkpoints)
    if row in CONTROLS:
        return
    yield 'fine-tuning', partial(fine_tune, out / 'data', seed, checkpoints)
    for task, labelled in DETECTION.items():
        yield task, partial(detect, out / 'detection', row, seed, labelled, checkpoint)


def probe(data: Path, target: ProbeTarget | None, seed: int, checkpoints: list[str] | None,
          only_place: bool) -> Figures:
    """Of the frozen probe of depth or of something else."""
    benchmark = _benchmark(data, target)
    if target is not None:
        return benchmark.probe_target(seed, checkpoints, only_place)
    errors = benchmark.probe_position(seed) if only_place else benchmark.probe(seed, checkpoints)
    return errors._asdict()


def probe_beyond_place(data: Path, seed: int, checkpoints: list[str] | None) -> Figures:
    """Of a depth probe of features and place; ``to_place``: its error over that of the place alone."""
    benchmark = _benchmark(data, None)
    errors = benchmark.probe_beyond_position(seed, checkpoints)
    return dict(errors._asdict(), to_place=errors.abs_rel / benchmark.probe_position(seed).abs_rel)


def fine_tune(data: Path, seed: int, checkpoints: list[str] | None) -> Figures:
    """At the learning rate that is best on held-out labelled frames, chosen for each row and seed."""
    benchmark = _benchmark(data, None)
    tried = benchmark.tune(checkpoints)
    rate = min(tried, key=tried.get)
    return dict(benchmark.fine_tune(seed, checkpoints, rate)._asdict(), learning_rate=rate)


def detect(folder: Path, row: str, seed: int, labelled: int, checkpoint: Path | None) -> Figures:
    """Of a small detector trained on so many labelled scenes."""
    job = detection.Job(row, seed, labelled, detection.LEARNING_RATE)
    return detection.train(job, checkpoint, folder / 'data', folder)


@cache
def _benchmark(data: Path, target: ProbeTarget | None) -> TransferBenchmark:
    """Frames are loaded once in each process."""
    cfg = launch.with_data_root(Config.fromfile(CONFIG), str(data))
    if target is not None:  # whose labels want a point's neighbours
        pipeline = cfg.val_dataloader.dataset.pipeline
        cfg.val_dataloader.dataset.pipeline = [step for step in pipeline if step['type'] != 'SamplePoints']
    return TransferBenchmark(cfg, SETTINGS, target)


def measured(out: Path) -> Measured:
    """The figures in the folder."""
    cfg = Config.fromfile(CONFIG)
    settings = SETTINGS, cfg.model.img_backbone, cfg.val_dataloader, PROBE, detection.settings()
    return Measured(out / 'figures', '\n'.join(map(str, settings)))


def work(out: Path, tasks: Sequence[str], iterations: int, row: str, seed: int) -> None:
    """Pre-train and measure a row of one seed."""
    checkpoint = backbone(out, row, seed, iterations)
    available = dict(tasks_of(row, seed, checkpoint, out))
    measured(out).complete(row, seed, checkpoint, {task: available[task] for task in tasks if task in available})


def make_data(out: Path, tasks: Sequence[str], num_workers: int) -> None:
    """Frames to pre-train on and to measure on, of either world, and those of the detector."""
    make_frames(out / 'data', NUM_TRAIN, NUM_VAL, num_workers)
    if 'another world' in tasks:
        make_frames(out / 'another_world', 1, NUM_VAL, num_workers, world='yard')
    if DETECTION.keys() & set(tasks):
        detection.make_data(out / 'detection' / 'data')


def report(out: Path) -> str:
    """The table of all that was measured, and the ratios of rows, by seed."""
    table = measured(out).table(ROWS)
    seen = {task for row in table.values() for tasks in row.values() for task in tasks}
    columns = [column for column in COLUMNS if column.task in seen]
    text = f'{format_table(table, columns)}\n\n{format_ratios(table, RATIOS, columns)}\n'
    (out / 'transfer.md').write_text(text)
    return text


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', type=Path, default=Path('work_dirs/transfer_benchmark'))
    parser.add_argument('--all', action='store_true',
                        help=f'every task, three seeds, all rows but {", ".join(map(repr, BEYOND_ALL))}')
    parser.add_argument('--rows', nargs='+', choices=ROWS, metavar='ROW',
                        help=f'any of {", ".join(map(repr, ROWS))} (default: {", ".join(DEFAULT_ROWS)})')
    parser.add_argument('--seeds', type=int, choices=range(1, MAX_SEEDS + 1), metavar='N',
                        help='of pre-training and measuring (default: 1)')
    parser.add_argument('--tasks', nargs='+', choices=TASKS, metavar='TASK',
                        help=f'any of {", ".join(map(repr, TASKS))} (default: {", ".join(DEFAULT_TASKS)})')
    parser.add_argument('--iterations', type=int, default=ITERATIONS, help='of pre-training (default: %(default)s)')
    parser.add_argument('--num-workers', type=int, default=2, help='processes at a time, one thread each (default: 2)')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    out = args.out.resolve()
    rows = args.rows or (ROWS_OF_ALL if args.all else DEFAULT_ROWS)
    tasks = args.tasks or (TASKS if args.all else DEFAULT_TASKS)
    seeds = args.seeds or (3 if args.all else 1)
    measured(out)  # made by this process, before others read it
    make_data(out, tasks, args.num_workers)
    run_all(partial(work, out, tasks, args.iterations), rows, seeds, args.num_workers)
    print(report(out))


if __name__ == '__main__':
    launch.run(main)
