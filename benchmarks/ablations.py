"""Which choices make a better backbone? Trains every row of the ablation on generated scenes.

    python benchmarks/ablations.py --out work_dirs/ablations

Each row of configs/ablations is one change of the original's settings, made here of the small reference in
that folder in place of KITTI's; ``original`` has the original's projection errors, too, ``reference`` has them
mended, ``recommended`` is configs/simipu_synthetic.py. All have the same
small model, optimizer and number of iterations, whole images at 288 x 96 (the reference: of several sizes,
as in the original, with as many pixels on average). Prints a table with mean and deviation over seeds. What
is in the folder already is not trained again.

``recommended-2-processes`` and ``recommended-4-processes`` share the batch of 4 among processes, each with batch
statistics and negatives of its own; with ``-gather`` they share the negatives, too. ``recommended`` itself is what
synchronised statistics and gathered negatives amount to. They are trained where --rows names them.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from generated_frames import make_frames
from made_with import check_made_with
from mmengine.config import Config

from simipu.engine import launch
from simipu.evaluation.linear_probe import PENALTIES

PROJECT = Path(__file__).resolve().parents[1]
ABLATIONS = PROJECT / 'configs' / 'ablations'
KITTI_REFERENCE = './simipu_r50-reference_8xb4-100e_kitti.py'
SMALL_REFERENCE = ABLATIONS / 'simipu_r18-reference_1xb4-500iters_synthetic.py'
NO_INTRA = 'recommended-without-intra-loss'
IN_PROCESSES = {f'recommended-{number}-processes{suffix}': number for number in (2, 4) for suffix in ('', '-gather')}
ROWS = ('original', 'reference', 'recommended', NO_INTRA, 'distance-limit', 'mutual-nearest', 'exact-index',
        'detach-feature', 'mask-same-cell', 'use-xyz', 'sparse-encoder', 'backbone-init')
NUM_TRAIN, NUM_VAL = 1000, 256
SIZE, SEVERAL_SIZES = (288, 96), [(240, 80), (336, 112)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', type=Path, default=Path('work_dirs/ablations'))
    parser.add_argument('--rows', nargs='+', default=ROWS, help='rows of configs/ablations/README.md, '
                        f'original, reference, recommended, {NO_INTRA}, {", ".join(IN_PROCESSES)}')
    parser.add_argument('--seeds', type=int, default=3)
    parser.add_argument('--iterations', type=int, default=150)
    parser.add_argument('--num-workers', type=int, default=2,
                        help='trainings at a time, one thread for each process (default: 2)')
    args = parser.parse_args()
    out = args.out.resolve()
    data = out / 'data'
    make_frames(data, NUM_TRAIN, NUM_VAL, args.num_workers)
    jobs = [(row, seed) for seed in range(args.seeds) for row in args.rows]
    with ThreadPoolExecutor(args.num_workers) as pool:
        results = list(pool.map(lambda job: train(out / f'{job[0]}_seed{job[1]}', data, args.iterations, *job),
                                jobs))
    print(table({row: [result for job, result in zip(jobs, results) if job[0] == row] for row in args.rows}))


def train(folder: Path, data: Path, iterations: int, row: str, seed: int) -> dict:
    """Metrics of a training in a process of its own, with ``seconds`` of processor time."""
    config = load_config(row, data, iterations, seed)
    check_made_with(folder, f'# {NUM_TRAIN} frames, probe: penalties {PENALTIES}\n{config.pretty_text}')
    done = folder / 'result.json'
    if done.is_file():
        return json.loads(done.read_text())
    config.dump(folder / 'config.py')
    environment = dict(os.environ, OMP_NUM_THREADS='1', PYTHONWARNINGS='ignore', PYTHONPATH=os.pathsep.join(
        [str(PROJECT / 'benchmarks'), os.environ.get('PYTHONPATH', '')]))
    with open(folder / 'log.txt', 'w') as log:
        process = subprocess.Popen(
            [*command(row), str(folder / 'config.py'), '--work-dir', str(folder)],
            stdout=log, stderr=subprocess.STDOUT, cwd=PROJECT, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f'error: the training in {folder} failed; see {folder / "log.txt"}')
    scalars = max(folder.glob('*/vis_data/scalars.json'))  # of the last start, by its time
    result = json.loads(scalars.read_text().splitlines()[-1])
    result['seconds'] = usage.ru_utime + usage.ru_stime
    done.write_text(json.dumps(result))
    print(f'{folder.name}: probe AbsRel {result["depth_probe/abs_rel"]:.3f}', flush=True)
    return result


def command(row: str) -> list[str]:
    """Command line that trains a config in as many processes as the row asks for."""
    train = str(PROJECT / 'tools' / 'train.py')
    if row not in IN_PROCESSES:
        return [sys.executable, train]
    return [sys.executable, str(PROJECT / 'tools' / 'torchrun.py'), '--standalone',
            f'--nproc_per_node={IN_PROCESSES[row]}', train, '--launcher', 'pytorch']


def load_config(row: str, data: Path, iterations: int, seed: int) -> Config:
    """The row's config, at the size and length of this benchmark."""
    if row in ('recommended', NO_INTRA, *IN_PROCESSES):
        cfg = Config.fromfile(PROJECT / 'configs' / 'simipu_synthetic.py')
        if row == NO_INTRA:
            cfg.model.update(intra_head=None, matcher=None)
            for head in cfg.model.inter_head:
                head.detach_key = None  # else nothing trains the point encoder
        if row in IN_PROCESSES:
            cfg.train_dataloader.batch_size //= IN_PROCESSES[row]
            for head in (cfg.model.intra_head, *cfg.model.inter_head):
                head.loss.gather = row.endswith('-gather')
    elif row in ('original', 'reference'):
        cfg = Config.fromfile(SMALL_REFERENCE)
    else:
        cfg = on_small_reference(row)
    if row == 'original':
        cfg.model.type = 'OriginalProjectionSimIPU'
        cfg.custom_imports.imports = [*cfg.custom_imports.imports, 'original_projection']
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.num_workers, loader.persistent_workers = 0, False  # all in one process, whose time is taken
        loader.dataset.data_root = f'{data}/'
        for step in loader.dataset.pipeline:
            if step['type'] == 'ResizeImages':
                step['scale'] = SEVERAL_SIZES if isinstance(step['scale'], list) else SIZE
    # 128 frames are fitted, 128 others scored.
    cfg.val_evaluator = [dict(type='CrossModalRetrieval'), dict(type='DepthProbeMetric', rows_per_frame=128)]
    cfg.train_cfg.update(max_iters=iterations, val_interval=iterations)
    cfg.param_scheduler[-1]['end'] = iterations
    cfg.default_hooks.checkpoint = dict(type='CheckpointHook', by_epoch=False, interval=iterations)
    cfg.randomness = dict(seed=seed)
    return cfg


def on_small_reference(row: str) -> Config:
    """The change that a row's file makes of KITTI's reference, made of the small one."""
    text = (ABLATIONS / f'simipu_r50-{row}_8xb4-100e_kitti.py').read_text()
    return Config.fromstring(text.replace(KITTI_REFERENCE, str(SMALL_REFERENCE)), '.py')


def table(results: dict[str, list[dict]]) -> str:
    """A row each: depth probe and retrieval with deviations, ratio of the probe to the reference, cost."""
    reference = results.get('reference')
    lines = ['| row | probe AbsRel | to the reference | retrieval top-1, % | processor s |', '|---|---|---|---|---|']
    for row, runs in results.items():
        cells = [spread([run[key] for run in runs]) for key in ('depth_probe/abs_rel', 'retrieval/top1')]
        ratio = '' if reference is None else spread(
            [run['depth_probe/abs_rel'] / other['depth_probe/abs_rel'] for run, other in zip(runs, reference)], 2)
        seconds = statistics.median(run['seconds'] for run in runs)
        lines.append(f'| {row} | {cells[0]} | {ratio} | {cells[1]} | {seconds:.0f} |')
    return '\n'.join(lines)


def spread(values: list[float], digits: int = 3) -> str:
    deviation = f' ± {statistics.stdev(values):.{digits}f}' if len(values) > 1 else ''
    return f'{statistics.mean(values):.{digits}f}{deviation}'


if __name__ == '__main__':
    launch.run(main)
