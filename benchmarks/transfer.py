"""Does SimIPU transfer? Pre-trains on generated scenes, with controls, and measures every backbone.

    python benchmarks/transfer.py --out work_dirs/transfer_benchmark

Generates frames, pre-trains variants of VARIANTS with each seed, by default SimIPU and its mispaired control,
then measures the backbones by tools/transfer_benchmark.py's protocol on frames that none of them has seen.
Frames and backbones that are in the folder already are not made again, and a training that was stopped goes
on; measuring starts anew.
"""
import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import mmengine
from generated_frames import make_frames
from made_with import check_made_with
from mmengine.config import Config
from mmengine.device import get_device

from simipu.checkpoints import export_backbone
from simipu.engine import launch
from simipu.evaluation import DepthErrors
from simipu.evaluation.transfer import SCRATCH, Settings, measure_all, ratio, split_frames, write_report

PROJECT = Path(__file__).resolve().parents[1]
CONFIG = PROJECT / 'configs' / 'simipu_synthetic.py'
NUM_TRAIN, NUM_VAL = 2400, 384
ITERATIONS = 900


class Variant(NamedTuple):
    """A way to pre-train: a config, and what to change in it (``--cfg-options`` of tools/train.py)."""
    config: Path
    options: tuple[str, ...] = ()


VARIANTS = {
    'SimIPU': Variant(CONFIG),
    'mispaired': Variant(CONFIG, ('train_dataloader.dataset.type=MispairedDataset', )),
    'no-intra': Variant(CONFIG, (
        'model.intra_head=None', 'model.matcher=None', 'model.inter_head.0.detach_key=None',
        'model.inter_head.1.detach_key=None')),
    'original': Variant(PROJECT / 'benchmarks' / 'simipu_synthetic_original.py'),
}
RATIOS = [('SimIPU', SCRATCH), ('SimIPU', 'mispaired'), ('SimIPU', 'no-intra'), ('SimIPU', 'original')]
DEFAULT_VARIANTS = ('SimIPU', 'mispaired')
# Fine-tuning takes most of the time of measuring; the others are only probed.
FINETUNED = (SCRATCH, 'SimIPU')


def pretrain(folder: Path, data: Path, variant: Variant, seed: int, iterations: int) -> Path:
    """Pre-train in a process of its own with one thread; the exported backbone."""
    options = [f'randomness.seed={seed}', 'val_dataloader=None', 'val_cfg=None', 'val_evaluator=None',
               *length_options(variant.config, iterations), *variant.options]
    check_made_with(folder, '\n'.join([f'# {NUM_TRAIN} frames', *(f'# {option}' for option in options),
                                       Config.fromfile(variant.config).pretty_text]))
    backbone = folder / 'backbone.pth'
    if backbone.is_file():
        return backbone
    command = [sys.executable, str(PROJECT / 'tools' / 'train.py'), str(variant.config), '--resume',
               '--data-root', str(data), '--work-dir', str(folder), '--cfg-options', *options]
    path = os.pathsep.join([str(PROJECT / 'benchmarks'), os.environ.get('PYTHONPATH', '')])
    environment = dict(os.environ, OMP_NUM_THREADS='1', PYTHONWARNINGS='ignore', PYTHONPATH=path)
    log = folder / 'train.txt'
    with open(log, 'w') as stream:
        done = subprocess.run(command, stdout=stream, stderr=subprocess.STDOUT, cwd=PROJECT,
                              env=environment)
    if done.returncode:
        last_line = (log.read_text().splitlines() or ['no output'])[-1]
        sys.exit(f'error: the pre-training of {folder.name} failed: {last_line}\n'
                 f'All of its output is in {log}')
    export_backbone((folder / 'last_checkpoint').read_text(), backbone)
    print(f'pre-trained {folder.name}', flush=True)
    return backbone


def length_options(config: Path, iterations: int) -> list[str]:
    """Options for another number of iterations; what ended with the training does so again."""
    cfg = Config.fromfile(config)
    ends = [f'param_scheduler.{i}.end={iterations}' for i, schedule in enumerate(cfg.param_scheduler)
            if schedule.get('end') == cfg.train_cfg.max_iters]
    return [f'train_cfg.max_iters={iterations}', *ends]


def pretrain_all(out: Path, args: argparse.Namespace) -> dict[str, list[str]]:
    """Backbones of all seeds by the name of the variant."""
    variants = list(dict.fromkeys(args.variants))
    jobs = [(name, seed) for seed in range(args.seeds) for name in variants]

    def work(job: tuple) -> str:
        name, seed = job
        return str(pretrain(out / f'{name}_seed{seed}', out / 'data', VARIANTS[name], seed, args.iterations))

    with ThreadPoolExecutor(args.num_workers) as pool:
        backbones = list(pool.map(work, jobs))
    return {name: [path for path, job in zip(backbones, jobs) if job[0] == name] for name in variants}


def measure(out: Path, backbones: dict[str, list[str]], args: argparse.Namespace) -> str:
    """Measure, write the report, and return its text."""
    cfg = launch.with_data_root(Config.fromfile(CONFIG), str(out / 'data'))
    settings = Settings(num_seeds=max(Settings().num_seeds, args.seeds))
    backbones = {SCRATCH: None, **backbones}
    finetuned = [name for name in FINETUNED if name in backbones]
    num_workers = args.num_workers if get_device() == 'cpu' else 1
    measurements = measure_all(cfg, backbones, settings, num_workers, finetuned,
                               finetuned if args.long else ())
    return write_report(out, measurements, settings, split_frames(cfg, settings))


def compare(out: Path) -> dict:
    """Ratios of AbsRel over the seeds, by task and pair of backbones, where both were measured."""
    backbones = json.loads((out / 'transfer.json').read_text())['backbones']

    def errors(name: str, task: str) -> list[DepthErrors]:
        return [DepthErrors(**error) for error in backbones.get(name, {}).get(task, {}).get('errors', [])]

    ratios = {}
    for task in ('probe', 'finetune', 'finetune_long'):
        for pair in RATIOS:
            ours, baseline = (errors(name, task) for name in pair)
            if ours and baseline:
                ratios.setdefault(task, {})[' / '.join(pair)] = ratio(ours, baseline)._asdict()
    return ratios


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', type=Path, default=Path('work_dirs/transfer_benchmark'))
    parser.add_argument('--seeds', type=int, default=1, help='of pre-training (default: 1)')
    parser.add_argument('--variants', nargs='+', choices=VARIANTS, default=DEFAULT_VARIANTS,
                        help=f'to pre-train (default: {" ".join(DEFAULT_VARIANTS)})')
    parser.add_argument('--iterations', type=int, default=ITERATIONS,
                        help='of pre-training (default: %(default)s)')
    parser.add_argument('--long', action='store_true', help='fine-tune four times as long, too')
    parser.add_argument('--num-workers', type=int, default=2,
                        help='processes at a time, one thread each (default: 2)')
    args = parser.parse_args()
    out = args.out.resolve()
    make_frames(out / 'data', NUM_TRAIN, NUM_VAL, args.num_workers)
    print(measure(out, pretrain_all(out, args), args))
    ratios = compare(out)
    mmengine.dump(ratios, out / 'ratios.json', indent=2)
    for task, pairs in ratios.items():
        for pair, values in pairs.items():
            print(f'{task:14} {pair:40} mean {values["mean"]:.2f}, worst seed {values["worst"]:.2f}')


if __name__ == '__main__':
    launch.run(main)
