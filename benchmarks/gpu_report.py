"""Where the time of the default training step goes on this GPU, printed and as JSON.

    python benchmarks/gpu_report.py [--minutes 6] [--out gpu_report.json]

ResNet-50, 32 made-up frames of 1280 x 384 pixels and 16384 points, with both point encoders, each in bfloat16 (sparse
convolutions stay in float32) and in float32. Parts are timed alone, each between two synchronisations; what the whole
step takes less is overlap, and what it takes more is `other`. A case that no time or memory is left for is
listed as skipped. ``--device cpu`` with small sizes tries the script itself.
"""
import simipu  # noqa: F401  (before mmdet3d, which it lets be imported beside an mmcv without operators)

# isort: split
import argparse
import json
import platform
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import NamedTuple

import loader
import torch
from frames import Batch, made_up_batch
from lidar_like import lidar_like_clouds
from measuring import clock, peak_memory, reset_peak_memory
from mmdet3d.registry import MODELS
from mmengine.config import Config
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.registry import init_default_scope
from naive_model import naive_copy
from naive_points import NaiveEncoder
from point_encoder import PAPER
from point_ops import NUM_SAMPLES, SHELLS
from training_step import Step, build_step, seconds, time_parts

from simipu import ops

CONFIGS = Path(__file__).resolve().parents[1] / 'configs'
ENCODERS = dict(SparseConvEncoder='simipu_r50_8xb4-100e_kitti.py',
                PointNet2Encoder='simipu_r50-pointnet2_8xb4-100e_kitti.py')
PRECISIONS = dict(bf16=True, fp32=False)
# Which of the parts that training_step.py times belong to each side.
SIDES = {
    'image side': ['image backbone'],
    'point side': ['point encoder, first view', 'point encoder, second view'],
    'matcher': ['matcher'],
    'heads': ['intra-modal head', 'inter-modal head'],
    'optimizer': ['optimizer'],
}


class Case(NamedTuple):
    """A model in one precision, and frames as a loader delivers them."""
    model: torch.nn.Module
    optimizer: OptimWrapper
    frames: dict
    autocast: bool

    def precision(self) -> torch.autocast:
        return torch.autocast(self.model.data_preprocessor.device.type, torch.bfloat16, enabled=self.autocast)

    def batch(self) -> tuple:
        """The frames on the device, as the model takes them."""
        data = self.model.data_preprocessor(self.frames)
        return data['inputs'], data['data_samples']

    def train(self) -> None:
        """A whole step, from frames in the host's memory to new weights."""
        with self.precision():
            losses = self.model(*self.batch(), mode='loss')
        self.optimizer.update_params(self.model.parse_losses(losses)[0])


def build_case(encoder: str, frames: dict, device: str, autocast: bool) -> Case:
    config = Config.fromfile(CONFIGS / ENCODERS[encoder])
    torch.manual_seed(0)
    model = MODELS.build(config.model).to(device).train()
    return Case(model, build_optim_wrapper(model, config.optim_wrapper), frames, autocast)


def as_loaded(batch: Batch, device: str) -> dict:
    """The frames as ``collate_paired_frames`` leaves them: uint8 images and clouds in the host's (pinned) memory."""
    def host(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.pin_memory() if device.startswith('cuda') else tensor

    images = (batch.inputs['imgs'] * 40 + 128).clamp(0, 255).byte()
    inputs = {name: [host(cloud) for cloud in batch.inputs[name]] for name in ('points', 'points_aug')}
    return dict(inputs=dict(inputs, img=[[host(image) for image in images[:, 0]]]), data_samples=batch.data_samples)


def report_case(case: Case, num_images: int, seconds_left: float) -> dict:
    """Measures of one case, in milliseconds, GB and images a second; all keys are always there."""
    spent = [seconds(case.train) for _ in range(3)][-1]  # those before compile and choose algorithms
    steps = max(3, min(50, int(0.4 * seconds_left / spent)))
    reset_peak_memory()
    start = clock()
    for _ in range(steps):
        case.train()
    step = (clock() - start) / steps
    memory = peak_memory()
    parts = time_parts(Step(case.model, case.optimizer, case.batch()), max(2, steps // 5), case.precision)
    sides = {'data': (median(seconds(case.batch) for _ in range(3)), 0.0)}
    sides.update({side: tuple(map(sum, zip(*(parts[name] for name in names)))) for side, names in SIDES.items()})
    table = {side: dict(forward_ms=1e3 * forward, backward_ms=1e3 * backward, share=(forward + backward) / step)
             for side, (forward, backward) in sides.items()}
    return dict(step_ms=1e3 * step, images_per_second=num_images / step, peak_memory_gb=memory / 1e3, parts=table,
                other_share=1 - sum(side['share'] for side in table.values()), idle_share=idle_share(case, step),
                host_synchronisations=count_synchronisations(case))


def idle_share(case: Case, step: float) -> float | None:
    """The share of a step in which the GPU computes nothing; None on a CPU."""
    if not torch.cuda.is_available():
        return None
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        case.train()
        torch.cuda.synchronize()
    return max(0.0, 1 - sum(event.self_device_time_total for event in profile.key_averages()) / 1e6 / step)


def count_synchronisations(case: Case) -> int | None:
    """How often a step waits for the GPU, as CUDA itself warns of it; None on a CPU."""
    if not torch.cuda.is_available():
        return None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        torch.cuda.set_sync_debug_mode('warn')
        case.train()
        torch.cuda.set_sync_debug_mode('default')
    return sum('synchroniz' in str(warning.message) for warning in caught)


def report_operators(num_clouds: int, num_points: int, device: str) -> dict:
    """Milliseconds of PointNet++'s first level: sampling a quarter of the points; ball query and grouping."""
    points = lidar_like_clouds(num_clouds, num_points)[..., :3].contiguous().to(device)
    num_centers = num_points // 4
    rows = ops.furthest_point_sample(points, num_centers)
    centers = points.gather(1, rows[..., None].expand(-1, -1, 3))
    features = torch.randn(num_clouds * num_points, 64, device=device)
    first_rows = num_points * torch.arange(num_clouds, device=device)[:, None, None]

    def group() -> None:
        for neighbours in ops.multi_ball_query(SHELLS, NUM_SAMPLES, points, centers):
            ops.gather_max(features, (neighbours + first_rows).flatten(0, 1))

    def fastest_of(function: Callable[[], object]) -> float:
        return 1e3 * min([seconds(function) for _ in range(5)][1:])  # the first compiles

    return dict(num_clouds=num_clouds, num_points=num_points, num_centers=num_centers,
                sampling_ms=fastest_of(lambda: ops.furthest_point_sample(points, num_centers)),
                grouping_ms=fastest_of(group))


def report_naive(batch: Batch, device: str) -> dict:
    """Forward and backward of PointNet++ with Hungarian matching, as the original trains, and on the naive path."""
    ours = build_step('PointNet2Encoder', ({name: value.to(device) for name, value in batch.inputs.items()},
                                           batch.data_samples))
    ours.model.to(device)
    naive = Step(naive_copy(ours.model, NaiveEncoder(4, **PAPER).to(device)), None, ours.batch)

    def forward_and_backward(step: Step) -> None:
        losses = step.losses()
        (losses['loss_inter'] + losses['loss_intra']).backward()

    fast = [seconds(lambda: forward_and_backward(ours)) for _ in range(3)][-1]
    slow = seconds(lambda: forward_and_backward(naive))
    return dict(num_frames=len(batch.data_samples), ours_ms=1e3 * fast, naive_ms=1e3 * slow, naive_takes=slow / fast)


def report_loader(num_frames: int) -> dict:
    """Milliseconds of one worker for a frame of KITTI's size, from the page cache."""
    config = Config.fromfile(loader.CONFIG).train_dataloader
    with tempfile.TemporaryDirectory() as folder:
        loader.make_frames(Path(folder), num_frames, jpeg=True)
        config['dataset']['data_root'] = folder
        loader.seconds_per_transform(config, num_frames)
        spent = loader.seconds_per_transform(config, num_frames)
    return dict(worker_ms=1e3 * sum(spent.values()))


def machine(device: str) -> dict:
    commit = subprocess.run(['git', 'rev-parse', 'HEAD'], cwd=CONFIGS, capture_output=True, text=True).stdout.strip()
    card = torch.cuda.get_device_name() if device.startswith('cuda') else 'CPU'
    return dict(device=card, torch=torch.__version__, python=platform.python_version(), commit=commit or None)


def show(name: str, case: dict) -> None:
    """One case as a table."""
    print(f'{name}: {case["step_ms"]:.1f} ms a step, {case["images_per_second"]:.1f} images/s, '
          f'{case["peak_memory_gb"]:.2f} GB, {case["host_synchronisations"]} host synchronisations')
    for side, part in case['parts'].items():
        print(f'  {side:12} {part["forward_ms"]:9.1f} ms forward {part["backward_ms"]:9.1f} ms backward '
              f'{part["share"]:6.1%}')
    idle = 'not measured' if case['idle_share'] is None else f'{case["idle_share"]:.1%}'
    print(f'  other {case["other_share"]:.1%}; the GPU is idle {idle}', flush=True)


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--minutes', type=float, default=6, help='after which no further case begins')
    parser.add_argument('--out', default='gpu_report.json')
    parser.add_argument('--device', default='cuda')
    parser.add_argument('--batch', type=int, default=32)
    parser.add_argument('--image-size', type=int, nargs=2, default=[1280, 384], metavar=('WIDTH', 'HEIGHT'))
    parser.add_argument('--num-points', type=int, default=16384)
    parser.add_argument('--naive-batch', type=int, default=2, help='frames on the naive path; 0 leaves it out')
    parser.add_argument('--loader-frames', type=int, default=8, help='0 leaves the loader out')
    parser.add_argument('--encoders', nargs='+', choices=ENCODERS, default=list(ENCODERS))
    args = parser.parse_args(arguments)
    if args.device.startswith('cuda') and not torch.cuda.is_available():
        parser.error('torch finds no GPU; --device cpu with small sizes tries the script')
    return args


def main(arguments: list[str] | None = None) -> None:
    args = parse_arguments(arguments)
    end = time.monotonic() + 60 * args.minutes
    init_default_scope('mmdet3d')
    report = dict(machine=machine(args.device), settings=vars(args), cases={}, operators=None, naive=None, loader=None,
                  skipped=[])
    batch = made_up_batch(args.batch, args.num_points, *args.image_size)
    frames = as_loaded(batch, args.device)
    names = [(encoder, precision) for encoder in args.encoders for precision in PRECISIONS]
    for number, (encoder, precision) in enumerate(names):
        name, left = f'{encoder}, {precision}', end - time.monotonic()
        if number and left < 0:
            report['skipped'].append(name)
            continue
        try:
            case = build_case(encoder, frames, args.device, PRECISIONS[precision])
            report['cases'][name] = report_case(case, args.batch, left / (len(names) - number))
        except torch.cuda.OutOfMemoryError:
            print(f'{name}: out of memory; a smaller --batch may fit')
            report['skipped'].append(name)
            continue
        show(name, report['cases'][name])
        Path(args.out).write_text(json.dumps(report, indent=2))  # whatever comes after
    report['operators'] = report_operators(args.batch, args.num_points, args.device)
    print('sampling {num_centers} of {num_points} points of {num_clouds} clouds takes {sampling_ms:.1f} ms, ball query '
          'and grouping {grouping_ms:.1f} ms'.format(**report['operators']))
    if args.naive_batch:
        report['naive'] = report_naive(made_up_batch(args.naive_batch, args.num_points, *args.image_size), args.device)
        print('the naive path takes {naive_takes:.1f} times as long ({num_frames} frames)'.format(**report['naive']))
    if args.loader_frames:
        report['loader'] = report_loader(args.loader_frames)
        print('one loader worker takes {worker_ms:.1f} ms for a frame'.format(**report['loader']))
    Path(args.out).write_text(json.dumps(report, indent=2))
    print(f'written to {args.out}')


if __name__ == '__main__':
    main()
