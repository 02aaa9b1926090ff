"""What is a backbone worth on real frames? Pre-trains on real drives, on generated scenes, and on both.

    python benchmarks/real_frames.py --data-root data --out work_dirs/real_frames

Takes KITTI in its own layouts: DATA/kitti_raw and, if it is there, DATA/kitti_odometry to pre-train on,
DATA/kitti_object and the drive --held-out to measure on; links will do. Several draws of labelled frames are probed
and fine-tuned, each against the place of a pixel alone. What is in the folder already is kept; in the folder of
benchmarks/transfer.py the backbones that it has pre-trained on generated scenes for as long are taken.

KITTI's object frames come from raw drives. The default --drives are none of those that the first 16 object frames
are of; with others, pre-training may have seen (without a label) frames that are scored.
"""
import argparse
import math
import os
import sys
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from statistics import mean
from typing import NamedTuple

import torch
from generated_frames import NUM_TRAIN, NUM_VAL, make_frames
from made_with import check_made_with
from mmengine.config import Config
from rows import (
    CONFIG,
    CONFIGS,
    PROBE,
    PROJECT,
    RECIPES,
    RECOMMENDED,
    STRONG_ROWS,
    Column,
    Figures,
    Measured,
    Pretraining,
    folder_of,
    format_table,
    pretrain,
    pretraining_config,
    run_all,
)

from simipu.datasets.converters import create_kitti_infos, create_kitti_odometry_infos, create_kitti_raw_infos
from simipu.engine import launch
from simipu.evaluation.transfer import (
    DepthFrames,
    FineTuning,
    build_backbone,
    feature_level,
    fine_tune,
    frozen_features,
    load_depth_frames,
    position_features,
    probe_errors,
    score,
)
from simipu.files import write_whole

DRIVES = ('2011_09_26_drive_0005_sync', '2011_09_26_drive_0048_sync', '04')
HELD_OUT = '2011_09_26_drive_0009_sync'
ITERATIONS = 500
LABELLED_SHARE, MOST_FRAMES = 10 / 16, 256
NUM_DRAWS, FINE_TUNED_DRAWS = 8, 3
RATES, STEPS, BATCH_SIZE = (3e-4, 1e-3, 3e-3), 100, 4
TASKS = [f'{task} {frames}' for frames in ('object', 'drive') for task in ('probe', 'beyond place', 'fine-tuning')]

SCRATCH = 'scratch'
GENERATED = ', generated'
RESNET50 = CONFIGS / 'simipu_r50-with-geometry_1xb16-2000iters_kitti-raw.py'
# At equal cost: on an H200 a step of 16 frames takes 0.20 s with all losses, 0.10 s with depth alone.
RESNET50_RECIPES = {
    'depth regression': Pretraining(PROJECT / 'benchmarks' / 'resnet50_depth_regression.py', length=8, amp=True),
    RECOMMENDED: Pretraining(RESNET50, length=4, amp=True),
}


class Stage(NamedTuple):
    """A pre-training and the frames it sees.

    Attributes:
        how: None: random weights.
        real: Whether the frames are real; else they are generated.
        measured_with: Config of the same backbone, whose images and points it is measured with.
    """
    how: Pretraining | None
    real: bool
    measured_with: Path


def rows_of(recipes: dict[str, Pretraining], measured_with: Path, prefix: str = '') -> dict[str, Stage]:
    """Rows of a network: from scratch, and each recipe on generated frames, on real ones, and on both."""
    rows = {prefix + SCRATCH: Stage(None, False, measured_with)}
    for name, recipe in recipes.items():
        generated = f'{prefix}{name}{GENERATED}'
        then = recipe._replace(length=recipe.length * 2 / 3, start=generated)
        rows[generated] = Stage(recipe, False, measured_with)
        rows[f'{prefix}{name}, real'] = Stage(recipe, True, measured_with)
        rows[f'{prefix}{name}, generated then real'] = Stage(then, True, measured_with)
    return rows


RESNET18_ROWS = rows_of(RECIPES, CONFIG)
RESNET18_ROWS[f'{RECOMMENDED}, generated then depth, real'] = Stage(
    RECIPES['depth regression']._replace(length=RECIPES['depth regression'].length * 2 / 3,
                                         start=RECOMMENDED + GENERATED), True, CONFIG)
for name, how in STRONG_ROWS.items():
    start = f'{how.start}{GENERATED}' if how.start else None
    RESNET18_ROWS[f'{name}{GENERATED}'] = Stage(how._replace(start=start), False, CONFIG)
ROWS = RESNET18_ROWS | rows_of(RESNET50_RECIPES, RESNET50, 'ResNet-50 ')


class Run(NamedTuple):
    """What was asked for: folders of the data and of the results, and the lengths of pre-trainings."""
    data: Path
    out: Path
    iterations: int


def backbone_file(run: Run, row: str, seed: int) -> Path | None:
    """Exported weights of a row, pre-trained if they are not there yet; None for random weights."""
    stage = ROWS[row]
    if stage.how is None:
        return None
    start = backbone_file(run, stage.how.start, seed) if stage.how.start else None
    cfg = pretraining_config(stage.how, seed, run.iterations, run.out / 'data', start)
    if not stage.real:  # as benchmarks/transfer.py does it
        return pretrain(folder_of(run.out, row.removesuffix(GENERATED), seed), cfg)
    return pretrain(folder_of(run.out, row, seed), on_real_frames(cfg, run))


def on_real_frames(cfg: Config, run: Run) -> Config:
    """The config with the real drives for its training set, one of their cameras at a time."""
    pipeline = cfg.train_dataloader.dataset.pipeline
    if not any(step.type == 'SampleCameras' for step in pipeline):
        pipeline = [dict(type='SampleCameras', num_cameras=1), *pipeline]
    sets = [dict(type='PairedDataset', data_root=str(run.data / name), pipeline=pipeline,
                 ann_file=str(run.out / 'infos' / name / 'simipu_infos_train.pkl'))
            for name in ('kitti_raw', 'kitti_odometry') if (run.out / 'infos' / name).is_dir()]
    cfg.train_dataloader.dataset = dict(type='ConcatDataset', datasets=sets, ignore_keys=[
        'dataset', 'split', 'version', 'info_version', 'categories'])
    return cfg


def make_infos(run: Run, drives: set[str], held_out: str) -> None:
    """Info files: of the drives to pre-train on, of the one held out, of the object frames."""
    infos = run.out / 'infos'
    check_made_with(infos, f'{run.data}\n{sorted(drives)}\n{held_out}')
    for name, create in (('kitti_raw', create_kitti_raw_infos), ('kitti_odometry', create_kitti_odometry_infos)):
        known = drives_in(run.data / name)
        if known & drives:
            create(run.data / name, infos / name, val_scenes=sorted(known - drives))
    create_kitti_raw_infos(run.data / 'kitti_raw', infos / 'drive', cameras=['CAM2'], val_scenes=[held_out])
    objects = run.data / 'kitti_object'
    names = sorted(file.stem for file in objects.glob('training/velodyne*/*.bin'))
    write_whole(infos / 'object.txt', ''.join(f'{name}\n' for name in names[:MOST_FRAMES]).encode())
    create_kitti_infos(objects, infos, splits=[str(infos / 'object.txt')])


def drives_in(root: Path) -> set[str]:
    """Names of the drives of KITTI raw, or of the sequences of KITTI odometry, in a folder."""
    return {folder.name for folder in [*root.glob('*/*_sync'), *root.glob('sequences/*')]}


def drives_to_train_on(data: Path, wanted: list[str] | None, held_out: str) -> set[str]:
    """The drives that are wanted, or those of ``DRIVES`` that are there, without the one held out."""
    there = drives_in(data / 'kitti_raw') | drives_in(data / 'kitti_odometry')
    if missing := set(wanted or ()) - there:
        sys.exit(f'error: --drives: no {", ".join(sorted(missing))} in {data}/kitti_raw or {data}/kitti_odometry; '
                 f'there are {", ".join(sorted(there)) or "none"}')
    return (set(wanted or DRIVES) & there) - {held_out}


@cache
def frames_of(run: Run, name: str, config: Path) -> DepthFrames:
    """Frames to label and to score, ``object`` or ``drive``, as the config's validation has them."""
    root, file = dict(object=('kitti_object', 'simipu_infos_object.pkl'),
                      drive=('kitti_raw', 'drive/simipu_infos_val.pkl'))[name]
    cfg = launch.with_data_root(Config.fromfile(config), str(run.data / root))
    cfg.val_dataloader.dataset.ann_file = str(run.out / 'infos' / file)
    frames = load_depth_frames(cfg)
    return frames.of(range(min(len(frames), MOST_FRAMES)))


def draws(num_frames: int, in_one_piece: bool) -> Iterator[tuple[list[int], list[int]]]:
    """Labelled and scored frames of each draw.

    The labelled ones are in order, as a probe is cross-validated over consecutive parts.

    Args:
        num_frames: All that there are.
        in_one_piece: Whether they are of one drive, whose neighbours look alike: then only frames of its first half
            are labelled, and the second half is scored.
    """
    for draw in range(NUM_DRAWS):
        generator = torch.Generator().manual_seed(draw)
        pool = num_frames // 2 if in_one_piece else num_frames
        order = torch.randperm(pool, generator=generator).tolist()
        labelled = sorted(order[:round(LABELLED_SHARE * pool)])
        yield labelled, list(range(pool, num_frames)) if in_one_piece else order[len(labelled):]


def tasks_of(run: Run, name: str, config: Path, checkpoint: Path | None, seed: int) -> dict:
    """What is measured, by the name of the task."""
    cfg = Config.fromfile(config)
    level, in_one_piece = feature_level(cfg), name == 'drive'
    make = partial(build_backbone, cfg, checkpoint and str(checkpoint), seed)
    return {f'probe {name}': lambda: probe(frames_of(run, name, config), make(), level, in_one_piece, with_place=False),
            f'beyond place {name}': lambda: probe(frames_of(run, name, config), make(), level, in_one_piece,
                                                  with_place=True),
            f'fine-tuning {name}': lambda: fine_tuned(frames_of(run, name, config), make, level, in_one_piece)}


def probe(frames: DepthFrames, backbone: torch.nn.Module, level: int, in_one_piece: bool, with_place: bool) -> Figures:
    """Means over the draws: AbsRel of a frozen probe, and its ratio to that of a pixel's place alone."""
    place = position_features(frames).split([len(item.depth) for item in frames])
    features = frozen_features(backbone, level, frames)
    if with_place:
        features = [torch.cat([ours.double(), where], dim=1) for ours, where in zip(features, place)]
    errors = [(errors_of(features, frames, *draw), errors_of(place, frames, *draw))
              for draw in draws(len(frames), in_one_piece)]
    return summary(errors)


def errors_of(features: list[torch.Tensor], frames: DepthFrames, labelled: list[int], scored: list[int]) -> float:
    """AbsRel at the scored frames of a probe of the labelled ones."""
    device = 'cuda' if torch.cuda.is_available() else 'cpu'  # in double precision, which MPS lacks

    def rows(part: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.cat([features[i] for i in part]).to(device), frames.of(part).depth.to(device)

    return probe_errors(*rows(labelled), *rows(scored)).abs_rel


def fine_tuned(frames: DepthFrames, make_backbone, level: int, in_one_piece: bool) -> Figures:
    """Means over the first draws, at the learning rate that is best on a held-out quarter of the labelled frames."""
    place = position_features(frames).split([len(item.depth) for item in frames])
    errors = []
    for draw, (labelled, scored) in enumerate(draws(len(frames), in_one_piece)):
        if draw == FINE_TUNED_DRAWS:
            break
        fitted, held_out = labelled[:len(labelled) * 3 // 4], labelled[len(labelled) * 3 // 4:]
        tried = {rate: _fine_tune(frames, make_backbone(), level, fitted, held_out, FineTuning(
            STEPS // 2, BATCH_SIZE, rate), draw) for rate in RATES}
        best = min(tried, key=lambda rate: (math.isnan(tried[rate]), tried[rate]))
        chosen = FineTuning(STEPS, BATCH_SIZE, best)
        errors.append((_fine_tune(frames, make_backbone(), level, labelled, scored, chosen, draw),
                       errors_of(place, frames, labelled, scored)))
    return summary(errors)


def _fine_tune(frames: DepthFrames, backbone: torch.nn.Module, level: int, labelled: list[int], scored: list[int],
               recipe: FineTuning, seed: int) -> float:
    return score(fine_tune(backbone, level, frames.of(labelled), recipe, seed), frames.of(scored)).abs_rel


def summary(errors: list[tuple[float, float]]) -> Figures:
    """Of (ours, place alone) of each draw."""
    ratios = [ours / place for ours, place in errors]
    return dict(abs_rel=mean(ours for ours, _ in errors), place=mean(place for _, place in errors),
                to_place=mean(ratios), worst=max(ratios))


def work(run: Run, tasks: list[str], row: str, seed: int) -> None:
    """Pre-train and measure a row of one seed."""
    checkpoint = backbone_file(run, row, seed)
    available = {task: measure for name in ('object', 'drive')
                 for task, measure in tasks_of(run, name, ROWS[row].measured_with, checkpoint, seed).items()}
    measured(run.out).complete(row, seed, checkpoint, {task: available[task] for task in tasks})


def measured(out: Path) -> Measured:
    """The figures in the folder."""
    return Measured(out / 'figures_real',
                    f'{NUM_DRAWS} {FINE_TUNED_DRAWS} {RATES} {STEPS} {BATCH_SIZE} {MOST_FRAMES}\n{PROBE}')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data-root', type=Path, default=os.environ.get('SIMIPU_REAL_DATA', 'data'),
                        help='folder of kitti_raw/, kitti_odometry/ and kitti_object/ (default: the environment '
                        'variable SIMIPU_REAL_DATA, else data)')
    parser.add_argument('--out', type=Path, default=Path('work_dirs/real_frames'))
    parser.add_argument('--rows', nargs='+', choices=ROWS, metavar='ROW', default=list(RESNET18_ROWS),
                        help=f'any of {", ".join(map(repr, ROWS))} (default: all but those of ResNet-50)')
    parser.add_argument('--tasks', nargs='+', choices=TASKS, metavar='TASK', default=TASKS,
                        help=f'any of {", ".join(map(repr, TASKS))} (default: all)')
    parser.add_argument('--seeds', type=int, default=1, help='of pre-training (default: 1)')
    parser.add_argument('--drives', nargs='+', help='drives and sequences to pre-train on, less --held-out (default: '
                        f'those of {" ".join(DRIVES)} that are there)')
    parser.add_argument('--held-out', default=HELD_OUT, help='drive to measure on (default: %(default)s)')
    parser.add_argument('--iterations', type=int, default=ITERATIONS, help='of pre-training; each row has a multiple '
                        'of them, for equal cost (default: %(default)s)')
    parser.add_argument('--num-workers', type=int, default=2, help='processes at a time, one thread each (default: 2)')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    run = Run(args.data_root.resolve(), args.out.resolve(), args.iterations)
    measured(run.out)  # made by this process, before others read it
    drives = drives_to_train_on(run.data, args.drives, args.held_out)
    if not drives and any(ROWS[row].real for row in args.rows):
        sys.exit(f'error: {run.data} has no drive to pre-train on but the one that is held out; name some by --drives, '
                 'or rows without real drives by --rows')
    make_infos(run, drives, args.held_out)
    starts = {ROWS[row].how.start for row in args.rows if ROWS[row].how and ROWS[row].how.start}
    if any(ROWS[row].how and not ROWS[row].real for row in {*args.rows, *starts}):
        make_frames(run.out / 'data', NUM_TRAIN, NUM_VAL, args.num_workers)
    run_all(partial(work, run, args.tasks), args.rows, args.seeds, args.num_workers)
    columns = [Column(task, 'to_place') for task in args.tasks]
    text = format_table(measured(run.out).table(ROWS), columns)
    (run.out / 'real_frames.md').write_text(f'{text}\n')
    print(text)


if __name__ == '__main__':
    launch.run(main)
