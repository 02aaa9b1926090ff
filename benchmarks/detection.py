"""Does a pre-trained backbone make a better 3D detector? A small FCOS3D, scratch against pre-trained.

    python tools/export_backbone.py CHECKPOINT backbone.pth
    python benchmarks/detection.py backbone.pth [...] [--seeds 0 1 2] [--learning-rates 5e-3 ...]

Generates labelled scenes (with another seed than those of the quickstart, to pre-train on), trains
configs/downstream/fcos3d_r18_simipu_synthetic.py and its scratch twin with equal seeds, two at a time with
one thread each, and scores them by CentreDistanceAP. Of several backbones, from pre-trainings that differ in
their seed, each seed takes one in turn. Needs no GPU.
"""
import argparse
import json
import os
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from itertools import cycle
from multiprocessing import get_context
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory
from typing import NamedTuple

import mmdet3d
import torch

from simipu.checkpoints import verify_pretrained
from simipu.engine import launch
from simipu.scenes import generate_dataset

CONFIGS = Path(__file__).resolve().parents[1] / 'configs' / 'downstream'
CONFIG = {variant: CONFIGS / f'fcos3d_r18_{variant}_synthetic.py' for variant in ('scratch', 'simipu')}
LABELLED, SCORED = 256, 256  # frames
DATA_SEED = 1000
METRICS = ('mAP', 'AP@1', 'AP@2', 'AP@4', 'depth_abs_rel', 'in_sight')


class Job(NamedTuple):
    """One training."""
    variant: str  # 'scratch' or 'simipu'
    seed: int
    learning_rate: float

    def __str__(self) -> str:
        return f'{self.variant} lr {self.learning_rate:g} seed {self.seed}'


class Result(NamedTuple):
    """What came of a job; ``seconds`` are of processor time."""
    job: Job
    metrics: dict[str, float]
    seconds: float


def make_data(root: Path, labelled: int = LABELLED, scored: int = SCORED) -> None:
    """Scenes with labels in KITTI's layout, and the info files by mmdet3d's own converter."""
    if (root / 'kitti_infos_val.pkl').is_file():
        return
    total = labelled + scored
    generate_dataset(root, total, seed=DATA_SEED, val_fraction=scored / total)
    sys.path.insert(0, str(Path(mmdet3d.__file__).parent / '.mim'))
    from tools.dataset_converters.kitti_converter import create_kitti_info_file
    from tools.dataset_converters.update_infos_to_v2 import update_pkl_infos
    with TemporaryDirectory() as folder:
        create_kitti_info_file(str(root), 'kitti', save_path=folder)
        for split in ('train', 'val'):
            update_pkl_infos('kitti', out_dir=str(root), pkl_path=f'{folder}/kitti_infos_{split}.pkl')


def train(job: Job, backbones: Mapping[int, Path], data_root: Path, work_dir: Path,
          options: Sequence[str] = ()) -> Result:
    """Train a detector, from the backbone of its seed, in this process, and score it at the end."""
    name = str(job).replace(' ', '_')
    options = [f'randomness.seed={job.seed}', f'optim_wrapper.optimizer.lr={job.learning_rate}',
               f'experiment_name={name}', 'log_level=WARNING', *options]
    if job.variant != 'scratch':
        options.append(f'model.backbone.init_cfg.checkpoint={backbones[job.seed]}')
    parser = argparse.ArgumentParser()
    launch.add_common_arguments(parser)
    cfg = launch.load_config(parser.parse_args([
        str(CONFIG[job.variant]), '--data-root', str(data_root), '--work-dir', str(work_dir / name),
        '--cfg-options', *options]))
    start = time.process_time()
    runner = launch.build_runner(cfg)
    runner.train()
    seconds = time.process_time() - start
    scalars, prefix = runner.message_hub.log_scalars, 'val/detection/'
    return Result(job, {key.removeprefix(prefix): float(scalars[key].current()) for key in scalars
                        if key.startswith(prefix)}, seconds)


def _single_thread() -> None:
    torch.set_num_threads(1)
    warnings.filterwarnings('ignore')


def train_all(jobs: Sequence[Job], backbones: Mapping[int, Path], data_root: Path, work_dir: Path,
              options: Sequence[str] = ()) -> list[Result]:
    """Two at a time, each in a process of its own; results in the order of ``jobs``."""
    os.environ['OMP_NUM_THREADS'] = '1'
    results = {}
    with ProcessPoolExecutor(2, get_context('spawn'), _single_thread) as pool:
        futures = [pool.submit(train, job, backbones, data_root, work_dir, options) for job in jobs]
        for future in as_completed(futures):
            result = future.result()
            results[result.job] = result
            print(f'{result.job}: mAP {result.metrics["mAP"]:.3f}, {result.seconds:.0f} s', flush=True)
    return [results[job] for job in jobs]


def mean_metrics(results: Sequence[Result]) -> dict[str, float]:
    """Over the seeds."""
    return {name: mean(result.metrics[name] for result in results) for name in METRICS}


def best_rate(results: Sequence[Result], variant: str) -> float:
    """The learning rate with the highest mAP, on average over the seeds."""
    rates = sorted({result.job.learning_rate for result in results})
    return max(rates, key=lambda rate: mean_metrics(_of(results, variant, rate))['mAP'])


def _of(results: Sequence[Result], variant: str, rate: float | None = None) -> list[Result]:
    return [result for result in results
            if result.job.variant == variant and rate in (None, result.job.learning_rate)]


def table(results: Sequence[Result]) -> str:
    """Every training, then each variant's mean at its best learning rate, and the comparison by seed."""
    lines = [f'{"":28}' + ''.join(f'{name:>14}' for name in METRICS)]
    lines += [_row(str(result.job), result.metrics) for result in results]
    best = {variant: _of(results, variant, best_rate(results, variant)) for variant in CONFIG}
    for variant, chosen in best.items():
        lines.append(_row(f'{variant} mean, lr {chosen[0].job.learning_rate:g}', mean_metrics(chosen)))
    pairs = list(zip(best['scratch'], best['simipu']))
    for name, better in (('mAP', lambda old, new: new > old),
                         ('depth_abs_rel', lambda old, new: new < old)):
        wins = sum(better(old.metrics[name], new.metrics[name]) for old, new in pairs)
        lines.append(f'{name}: simipu better than scratch in {wins} of {len(pairs)} seeds')
    return '\n'.join(lines)


def _row(title: str, metrics: dict[str, float]) -> str:
    return f'{title:28}' + ''.join(f'{metrics[name]:14.3f}' for name in METRICS)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('backbones', type=Path, nargs='+', help='exported by tools/export_backbone.py')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument('--learning-rates', type=float, nargs='+', default=[5e-3],
                        help='each variant is judged at its best one (default: that of the config)')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/detection'),
                        help='scenes, logs, checkpoints and results.json')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    if len(args.backbones) > len(args.seeds):
        sys.exit(f'error: {len(args.backbones)} backbones, but {len(args.seeds)} --seeds, each of which takes one')
    for backbone in args.backbones:
        report = verify_pretrained(CONFIG['simipu'], backbone)
        if not report.ok:
            sys.exit(f'error: {report}')
    data_root = args.work_dir / 'data'
    make_data(data_root)
    jobs = [Job(variant, seed, rate) for rate in args.learning_rates for seed in args.seeds
            for variant in CONFIG]
    backbones = {seed: backbone.resolve() for seed, backbone in zip(args.seeds, cycle(args.backbones))}
    results = train_all(jobs, backbones, data_root, args.work_dir)
    print(table(results))
    rows = [dict(result.job._asdict(), **result.metrics, seconds=result.seconds) for result in results]
    (args.work_dir / 'results.json').write_text(json.dumps(rows, indent=2))


if __name__ == '__main__':
    main()
