"""Whole training steps at the original's sizes and settings, in units of the image backbone's forward pass.

    OMP_NUM_THREADS=1 python benchmarks/training_step.py [--data-root data/kitti] [--check]

ResNet-50, batch 2, 640 x 192, 16384 points: forward, backward, optimizer step and the logged values. Three kinds of
settings: the original's (Hungarian matching without limit) with either point encoder; the same with hidden layers of
512 channels for the pixels; and those of configs/simipu_kitti.py. The original takes 36.6 units. A unit is timed
before and after each step, in train mode, once as the step runs it (with an autograd graph) and once without; the
shorter one counts. Peak memory is that of the whole process, libraries included.

--check compares losses with those of the unoptimised path, in single precision and in double precision, in
which rounding does not hide a mistake (needs 8 GB).
"""
import simipu  # noqa: F401  (before mmdet3d, which it lets be imported beside an mmcv without operators)

# isort: split
import argparse
import copy
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from statistics import median
from typing import NamedTuple
from unittest.mock import patch

import torch
from frames import kitti_batch, made_up_batch
from measuring import clock, peak_memory, print_versions, reset_peak_memory
from mmdet3d.registry import MODELS
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from naive_model import naive_copy, recorded_samplings
from naive_points import NaiveEncoder
from point_encoder import PAPER

from simipu.geometry import BilinearSamples
from simipu.models.matchers import IndexMatcher

PROJECT_CONFIGS = Path(__file__).resolve().parents[1] / 'configs'
ENCODERS = dict(PointNet2Encoder='ablations/simipu_r50-reference_8xb4-100e_kitti.py',
                SparseConvEncoder='ablations/simipu_r50-sparse-encoder_8xb4-100e_kitti.py')
NARROW = {'model.inter_head.query_projector.hidden_channels': 512}
CONFIGS = {**{name: (file, {}) for name, file in ENCODERS.items()},
           **{f'{name}, narrow projection': (file, NARROW) for name, file in ENCODERS.items()},
           'simipu_kitti.py': ('simipu_kitti.py', {})}


class Step(NamedTuple):
    """A model with its optimizer and the batch that it trains on."""
    model: torch.nn.Module
    optimizer: object
    batch: tuple

    def losses(self) -> dict:
        return self.model(*self.batch, mode='loss')

    def train(self) -> dict:
        """One step; the logged values as numbers."""
        loss, logged = self.model.parse_losses(self.losses())
        self.optimizer.update_params(loss)
        return {name: float(value) for name, value in logged.items()}

    def images(self) -> torch.Tensor:
        return self.model.img_backbone(self.batch[0]['imgs'].flatten(0, 1))[-1]


def build_step(name: str, batch: tuple) -> Step:
    file, changes = CONFIGS[name]
    config = Config.fromfile(PROJECT_CONFIGS / file)
    config.merge_from_dict(changes)
    init_default_scope('mmdet3d')
    torch.manual_seed(0)
    model = MODELS.build(config.model).train()
    return Step(model, build_optim_wrapper(model, config.optim_wrapper), batch)


def seconds(function: Callable[[], object]) -> float:
    start = clock()
    function()
    return clock() - start


def measure_steps(step: Step, repeats: int) -> None:
    """Prints the step in units of the backbone's forward pass, and peak memory."""
    def units() -> list:
        with torch.no_grad():
            without_graph = seconds(step.images)
        return [seconds(step.images), without_graph]

    step.train(), units()
    reset_peak_memory()
    ratios, spent = [], []
    before = units()
    for _ in range(repeats):
        spent.append(seconds(step.train))
        after = units()
        ratios.append([2 * spent[-1] / (first + last) for first, last in zip(before, after)])
        before = after
    print(f'  step {median(spent):.2f} s; peak memory {peak_memory() / 1e3:.2f} GB')
    for name, column in zip(('with', 'without'), zip(*ratios)):
        print(f'  = {median(column):.1f} forward passes of the backbone {name} a graph '
              f'({min(column):.1f} to {max(column):.1f} in {repeats} steps)')


def parts_of(step: Step) -> dict[str, Callable[[], object]]:
    """Forward pass of each part alone, on what it gets in a step."""
    model, inputs = step.model, step.batch[0]
    # By its class the model chooses how to sample the second view.
    with patch.object(model, 'matcher', spec=True, wraps=model.matcher) as matcher, \
            patch.object(model.intra_head, 'loss', wraps=model.intra_head.loss) as intra, \
            patch.object(model.inter_head, 'loss', wraps=model.inter_head.loss) as inter:
        step.losses()
    matched, shares_samples = matcher.call_args.args, isinstance(model.matcher, IndexMatcher)
    sampling = model.point_encoder(inputs['points']).sampling if shares_samples else None

    def second_view():
        with torch.no_grad():
            return model.point_encoder(inputs['points_aug'], sampling=sampling)

    def head(module, call):
        query, key = call.args
        if isinstance(query, BilinearSamples):
            query = query._replace(cells=query.cells.detach().requires_grad_())
        else:
            query = query.detach().requires_grad_()
        return lambda: module.loss(query, key.detach(), **call.kwargs)['loss']

    return {
        'image backbone': step.images,
        'point encoder, first view': lambda: model.point_encoder(inputs['points']).features,
        'point encoder, second view': second_view,
        'matcher': lambda: model.matcher(*matched),
        'intra-modal head': head(model.intra_head, intra.call_args),
        'inter-modal head': head(model.inter_head, inter.call_args),
        'optimizer': step.optimizer.step,
    }


def time_parts(step: Step, repeats: int, precision: Callable = nullcontext) -> dict[str, tuple[float, float]]:
    """Seconds of forward, in ``precision()``, and backward of each part, by turns."""
    with precision():
        parts = parts_of(step)
    forward, backward = ({name: [] for name in parts} for _ in range(2))
    step.optimizer.zero_grad()
    for _ in range(repeats):
        for name, function in parts.items():
            start = clock()
            with precision():
                result = function()
            forward[name].append(clock() - start)
            if isinstance(result, torch.Tensor):
                signal = torch.ones_like(result)
                backward[name].append(seconds(lambda: result.backward(signal)))
    return {name: (median(forward[name]), median(backward[name] or [0.0])) for name in parts}


def measure_parts(step: Step, repeats: int) -> None:
    """Prints forward and backward of each part in units."""
    spent = time_parts(step, repeats)
    unit = spent['image backbone'][0]
    print('  part                            forward     backward   (units, with a graph)')
    for name, (forward, backward) in spent.items():
        print(f'  {name:30s} {forward / unit:8.2f} {backward / unit:12.2f}')


def check(step: Step) -> None:
    """Prints how far losses are from those of the unoptimised path, and the time that this takes."""
    print('unoptimised path, same weights, points sampled alike')
    inputs, samples = step.batch
    for dtype in (torch.float32, torch.float64):
        ours = copy.deepcopy(step.model).to(dtype)
        naive = naive_copy(ours, NaiveEncoder(4, **PAPER).to(dtype))
        batch = {name: value.to(dtype) for name, value in inputs.items()}, samples
        # Single precision as in training; in double precision the graph would need 20 GB.
        with torch.set_grad_enabled(dtype == torch.float32):
            with recorded_samplings(ours.point_encoder) as naive.point_encoder.samplings:
                losses = ours(*batch, mode='loss')
            start = clock()
            expected = naive(*batch, mode='loss')
            if dtype == torch.float32:
                (expected['loss_inter'] + expected['loss_intra']).backward()
                spent = clock() - start
                unit = seconds(step.images)
                print(f'  forward and backward {spent:.1f} s = {spent / unit:.0f} forward passes of the '
                      f'backbone; peak memory {peak_memory() / 1e3:.1f} GB')
        for name in ('loss_inter', 'loss_intra'):
            print(f'  {dtype}: {name} {expected[name]:.6f}, ours differs by '
                  f'{abs(losses[name] - expected[name]):.1e}', flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data-root', help='folder of KITTI; made-up frames without it')
    parser.add_argument('--batch', type=int, default=2)
    parser.add_argument('--num-points', type=int, default=16384)
    parser.add_argument('--repeats', type=int, default=5)
    parser.add_argument('--check', action='store_true')
    args = parser.parse_args()
    print_versions()
    batch = (kitti_batch(args.data_root, args.batch, args.num_points) if args.data_root else
             made_up_batch(args.batch, args.num_points))
    for name in CONFIGS:
        step = build_step(name, batch)
        print(name)
        measure_steps(step, args.repeats)
        measure_parts(step, args.repeats)
        print('  logged:', {name: round(value, 3) for name, value in step.train().items()})
    if args.check:
        check(build_step('PointNet2Encoder', batch))


if __name__ == '__main__':
    main()
