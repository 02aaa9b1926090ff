"""What a training costs on many GPUs and many frames, from measured figures.

    python benchmarks/scaling.py [--images-per-second 158] [--report gpu_report.json] ...
    python benchmarks/scaling.py --check

A step takes as long as the slower of computing and loading; the exchange of gradients, a ring, hides behind the
backward pass as far as that goes, and all wait for the slowest process. ``--check`` predicts 2 and 4 processes on this
machine from what 1 and 2 take, and measures them.
"""
import argparse
import json
import math
import os
import time
from pathlib import Path
from statistics import median
from typing import NamedTuple

GPUS = (8, 64, 512)
FRAMES = (10 ** 6, 10 ** 7, 10 ** 8)


class Costs(NamedTuple):
    """Measured, of one process.

    Attributes:
        batch: Frames of a step.
        compute: Seconds of a step alone, without loading and exchange.
        backward: The share of it that is the backward pass, behind which gradients are exchanged.
        load: Seconds in which one loader worker reads a frame.
        workers: Of one process.
        gradient_bytes: That all processes exchange in each step.
        frame_bytes: Of a frame on the disk.
        jitter: Standard deviation of a step, as a share of it.
    """
    batch: int
    compute: float
    backward: float
    load: float
    workers: int
    gradient_bytes: float
    frame_bytes: float
    jitter: float = 0.0


class Cluster(NamedTuple):
    """What connects the processes.

    Attributes:
        processes: One for each GPU.
        bandwidth: Bytes a second that a process sends to its neighbour in the ring, the slowest link.
        latency: Seconds of one of the messages.
        cores: That all processes share, where they compute on a CPU.
    """
    processes: int
    bandwidth: float
    latency: float = 20e-6
    cores: float | None = None


class Step(NamedTuple):
    """Seconds of a step and of its parts; the exchange is what it adds."""
    compute: float
    exchange: float
    load: float
    seconds: float
    frames_per_second: float
    efficiency: float
    read_bytes_per_second: float


def ring_seconds(num_bytes: float, cluster: Cluster) -> float:
    """An all-reduce in a ring: everybody sends 2 (n - 1) pieces of an n-th."""
    messages = 2 * (cluster.processes - 1)
    return messages * (num_bytes / cluster.processes / cluster.bandwidth + cluster.latency)


def simulate(costs: Costs, cluster: Cluster) -> Step:
    compute = costs.compute * max(1.0, cluster.processes / cluster.cores if cluster.cores else 1.0)
    # Of n normally distributed times the largest lies about sqrt(2 ln n) deviations above the mean.
    compute *= 1 + costs.jitter * math.sqrt(2 * math.log(cluster.processes))
    exchange = max(0.0, ring_seconds(costs.gradient_bytes, cluster) - costs.backward * compute)
    load = costs.batch * costs.load / costs.workers
    step = max(compute + exchange, load)
    rate = cluster.processes * costs.batch / step
    alone = costs.batch / max(costs.compute, load)
    return Step(compute, exchange, load, step, rate, rate / alone / cluster.processes, rate * costs.frame_bytes)


def print_plan(costs: Costs, bandwidth: float, epochs: int) -> None:
    """Tables in Markdown: a step by the number of GPUs, and a training by the number of frames."""
    print('| GPUs | step | exchange not hidden | frames/s | efficiency | read from storage |')
    print('|---|---|---|---|---|---|')
    for gpus in GPUS:
        step = simulate(costs, Cluster(gpus, bandwidth))
        print(f'| {gpus} | {1e3 * step.seconds:.0f} ms | {1e3 * step.exchange:.0f} ms | '
              f'{step.frames_per_second:,.0f} | {step.efficiency:.0%} | {step.read_bytes_per_second / 1e9:.1f} GB/s |')
    print(f'\n| frames | storage | {" | ".join(f"{epochs} epochs on {gpus} GPUs" for gpus in GPUS)} |')
    print('|---' * (2 + len(GPUS)) + '|')
    for frames in FRAMES:
        hours = [frames * epochs / simulate(costs, Cluster(gpus, bandwidth)).frames_per_second / 3600 for gpus in GPUS]
        print(f'| {frames // 10 ** 6} million | {frames * costs.frame_bytes / 1e12:.1f} TB | '
              f'{" | ".join(f"{hour:,.1f} h" for hour in hours)} |')


def check(repeats: int) -> None:
    """Prints predicted and measured steps of a small model in 1, 2 and 4 processes that share the cores."""
    found = {number: measure_processes(number, repeats) for number in (1, 2, 4)}
    alone, num_bytes = found[1]['compute'], found[1]['gradient_bytes']
    # Other work on the machine leaves less than all cores.
    cores = min(len(os.sched_getaffinity(0)), 2 * alone / found[2]['compute'])
    bandwidth = num_bytes / found[2]['exchange']  # a ring of two sends every byte once
    costs = Costs(1, alone, 0.0, 0.0, 1, num_bytes, 0.0)
    print(f'{cores:.1f} cores free; {num_bytes / 1e6:.1f} MB of gradients, {bandwidth / 1e6:.0f} MB/s through the '
          'loopback')
    for number, measured in found.items():
        step = simulate(costs, Cluster(number, bandwidth, 0.0, cores))
        print(f'{number} processes: predicted {1e3 * step.seconds:.0f} ms, measured {1e3 * measured["step"]:.0f} ms '
              f'({measured["step"] / step.seconds:.2f} times)')


def measure_processes(number: int, repeats: int) -> dict:
    """Seconds of a step, and of computing and of the exchange alone, in so many processes."""
    from torch import multiprocessing

    results = multiprocessing.get_context('spawn').SimpleQueue()
    port = 29500 + number
    multiprocessing.spawn(_train, (number, port, repeats, results), nprocs=number)
    return results.get()


def _train(rank: int, number: int, port: int, repeats: int, results) -> None:
    import torch
    from torch import distributed

    torch.set_num_threads(1)
    torch.manual_seed(0)
    distributed.init_process_group('gloo', f'tcp://127.0.0.1:{port}', rank=rank, world_size=number)
    width = 768  # wide enough that the exchange counts
    model = torch.nn.Sequential(*(torch.nn.Linear(width, width) for _ in range(4)))
    frames = torch.randn(128, width)
    gradients = torch.zeros(sum(weight.numel() for weight in model.parameters()))

    def exchange() -> None:
        distributed.all_reduce(gradients)

    def compute() -> None:
        model(frames).square().mean().backward()

    def step() -> None:
        compute()
        exchange()

    spent = {'exchange': [], 'compute': [], 'step': []}
    for _ in range(repeats + 1):
        for name, function in zip(spent, (exchange, compute, step)):
            spent[name].append(_seconds(function))
    spent = {name: median(seconds[1:]) for name, seconds in spent.items()}  # the first are to warm up
    if rank == 0:
        results.put(dict(spent, gradient_bytes=gradients.numel() * 4))
    distributed.destroy_process_group()


def _seconds(function) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--report', help='of benchmarks/gpu_report.py, whose fastest case and loader are taken')
    parser.add_argument('--images-per-second', type=float, default=158,
                        help='of one GPU (default: of an H100)')
    parser.add_argument('--batch', type=int, default=32, help='frames of a GPU')
    parser.add_argument('--backward-share', type=float, default=0.6, help='of a step, that hides the exchange')
    parser.add_argument('--load-ms', type=float, default=11.2, help='of one loader worker for a frame')
    parser.add_argument('--workers', type=int, default=8, help='of one GPU')
    parser.add_argument('--parameters', type=float, default=32.0e6)
    parser.add_argument('--frame-mb', type=float, default=2.0, help='on the disk')
    parser.add_argument('--gigabits', type=float, default=100, help='of the link between two machines, for one GPU')
    parser.add_argument('--jitter', type=float, default=0.03, help='standard deviation of a step, as a share of it')
    parser.add_argument('--epochs', type=int, default=100)
    parser.add_argument('--check', action='store_true')
    parser.add_argument('--repeats', type=int, default=20)
    args = parser.parse_args()
    if args.check:
        check(args.repeats)
        return
    rate, load_ms, batch = args.images_per_second, args.load_ms, args.batch
    if args.report:
        report = json.loads(Path(args.report).read_text())
        rate = max(case['images_per_second'] for case in report['cases'].values())
        batch, load_ms = report['settings']['batch'], (report['loader'] or dict(worker_ms=load_ms))['worker_ms']
    costs = Costs(batch, batch / rate, args.backward_share, load_ms / 1e3, args.workers, 4 * args.parameters,
                  1e6 * args.frame_mb, args.jitter)
    print_plan(costs, args.gigabits / 8 * 1e9, args.epochs)


if __name__ == '__main__':
    main()
