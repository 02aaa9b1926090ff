"""Does a pre-trained backbone make a better 3D detector? A small FCOS3D from several backbones.

    python tools/export_backbone.py CHECKPOINT backbone.pth
    python benchmarks/detection.py simipu=backbone.pth [...] [--seeds 3] [--labelled 64 128 256]

Generates labelled scenes (with another seed than those of the quickstart, to pre-train on), trains
configs/downstream/fcos3d_r18_simipu_synthetic.py and its scratch twin with equal seeds, two at a time with
one thread each, and scores them by CentreDistanceAP. Of several files under one name, from pre-trainings that
differ in their seed, each seed takes one in turn. Trainings whose figures are in the folder already are not
repeated. Needs no GPU.
"""
import argparse
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import mmdet3d
from rows import Column, Figures, Measured, format_ratios, format_table, run_all

from simipu.checkpoints import verify_pretrained
from simipu.engine import launch
from simipu.evaluation.transfer import SCRATCH, parse_backbones
from simipu.scenes import generate_dataset

CONFIGS = Path(__file__).resolve().parents[1] / 'configs' / 'downstream'
CONFIG, SCRATCH_CONFIG = (CONFIGS / f'fcos3d_r18_{start}_synthetic.py' for start in ('simipu', 'scratch'))
STEPS = {64: 150, 128: 220, 256: 400}  # of training, by the number of labelled scenes
LABELLED = tuple(STEPS)
SCORED = 256
LEARNING_RATE = 5e-3
DATA_SEED = 1000
METRICS = ('mAP', 'AP@1', 'AP@2', 'AP@4', 'depth_abs_rel', 'in_sight')


class Job(NamedTuple):
    """One training: the name of its backbone, its seed, the scenes that it may learn from."""
    backbone: str
    seed: int
    labelled: int
    learning_rate: float

    @property
    def task(self) -> str:
        """What distinguishes it from others of the same backbone and seed."""
        return f'{self.labelled} scenes, lr {self.learning_rate:g}'


def make_data(root: Path, labelled: int = max(LABELLED), scored: int = SCORED) -> None:
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


def train(job: Job, checkpoint: Path | None, data_root: Path, work_dir: Path, options: Sequence[str] = ()) -> Figures:
    """Train a detector in this process, and score it at the end; ``seconds`` are of processor time.

    Args:
        job: What distinguishes it from others.
        checkpoint: Backbone to start from; None: random weights.
        data_root: Folder that ``make_data`` has filled.
        work_dir: Of all trainings. What one that was stopped left there is deleted.
        options: As ``--cfg-options`` of tools/train.py.
    """
    name = f'{job.backbone}_seed{job.seed}_{job.task}'.replace(' ', '_').replace(',', '')
    shutil.rmtree(work_dir / name, ignore_errors=True)
    # Another seed learns from other scenes where there are more than it may see.
    first = job.seed * job.labelled % max(LABELLED) if job.labelled < max(LABELLED) else 0
    scenes = list(range(first, first + job.labelled))
    options = [f'randomness.seed={job.seed}', f'optim_wrapper.optimizer.lr={job.learning_rate}',
               f'experiment_name={name}', 'log_level=WARNING', f'train_dataloader.dataset.indices={scenes}',
               f'max_iters={STEPS.get(job.labelled, max(STEPS.values()))}', *options]
    if checkpoint is not None:
        options.append(f'model.backbone.init_cfg.checkpoint={checkpoint}')
    parser = argparse.ArgumentParser()
    launch.add_common_arguments(parser)
    config = CONFIG if checkpoint else SCRATCH_CONFIG
    cfg = launch.load_config(parser.parse_args([
        str(config), '--data-root', str(data_root), '--work-dir', str(work_dir / name), '--cfg-options', *options]))
    start = time.process_time()
    runner = launch.build_runner(cfg)
    runner.train()
    seconds = time.process_time() - start
    scalars, prefix = runner.message_hub.log_scalars, 'val/detection/'
    return dict({key.removeprefix(prefix): float(scalars[key].current()) for key in scalars
                 if key.startswith(prefix)}, seconds=seconds)


def work(checkpoints: Mapping[str, Sequence[str] | None], variants: Sequence[tuple[int, float]], out: Path,
         name: str, seed: int) -> None:
    """Train all variants (labelled scenes and learning rate) from a backbone with a seed."""
    files = checkpoints[name]
    checkpoint = Path(files[seed % len(files)]).resolve() if files else None
    jobs = [Job(name, seed, *variant) for variant in variants]
    tasks = {job.task: partial(train, job, checkpoint, out / 'data', out) for job in jobs}
    measured(out).complete(name, seed, checkpoint, tasks)


def settings() -> str:
    """Text that is equal for equal trainings."""
    return f'{CONFIG.read_text()}{SCRATCH_CONFIG.read_text()}{STEPS} {DATA_SEED} {SCORED}'


def measured(out: Path) -> Measured:
    """The figures in the folder."""
    return Measured(out / 'figures', settings())


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('backbones', nargs='+', metavar='NAME=FILE', help='exported by tools/export_backbone.py')
    parser.add_argument('--seeds', type=int, default=3, help='from 0 (default: 3)')
    parser.add_argument('--labelled', type=int, nargs='+', choices=LABELLED, default=[max(LABELLED)],
                        help=f'scenes to train on (default: {max(LABELLED)})')
    parser.add_argument('--learning-rates', type=float, nargs='+', default=[LEARNING_RATE],
                        help='(default: that of the config)')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/detection'),
                        help='scenes, logs, checkpoints and figures')
    parser.add_argument('--num-workers', type=int, default=2, help='trainings at a time (default: 2)')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    checkpoints = parse_backbones(args.backbones)
    for name, files in checkpoints.items():
        if files and len(files) > args.seeds:
            sys.exit(f'error: {name}: {len(files)} backbones, but --seeds {args.seeds}, each of which takes one')
        for file in files or ():
            report = verify_pretrained(CONFIG, file)
            if not report.ok:
                sys.exit(f'error: {report}')
    out = args.work_dir.resolve()
    measured(out)  # made by this process, before others read it
    make_data(out / 'data')
    variants = list(product(args.labelled, args.learning_rates))
    run_all(partial(work, checkpoints, variants, out), list(checkpoints), args.seeds, args.num_workers)
    table = measured(out).table(checkpoints)
    columns = [Column(Job('', 0, *variant).task, metric) for variant in variants for metric in METRICS]
    print(format_table(table, columns))
    print(format_ratios(table, [(name, SCRATCH) for name in checkpoints if name != SCRATCH], columns))


if __name__ == '__main__':
    launch.run(main)
