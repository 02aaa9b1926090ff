"""What FiniteHook and SkipEmptyBatchHook cost, as a share of the training step that they watch.

    OMP_NUM_THREADS=1 python benchmarks/guards.py [--steps 5] [--batch 4]

The model of configs/simipu_kitti.py on images of 640 x 192. Steps and guards are timed together, so that other work on
the machine slows both down.
"""
import argparse
from collections.abc import Callable
from statistics import median
from types import SimpleNamespace

import torch
from frames import CONFIG, made_up_batch
from measuring import clock, print_versions
from mmdet3d.registry import MODELS
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from training_step import Step

from simipu.engine import FiniteHook, SkipEmptyBatchHook


class Stopwatch:
    """Adds up the seconds of all calls of the functions that it wraps."""
    seconds = 0.0

    def wrap(self, function: Callable) -> Callable:
        def call(*args) -> object:
            start = clock()
            try:
                return function(*args)
            finally:
                self.seconds += clock() - start
        return call


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--steps', type=int, default=5)
    parser.add_argument('--batch', type=int, default=4, help='frames in a batch')
    args = parser.parse_args()
    print_versions()

    config = Config.fromfile(CONFIG)
    init_default_scope('mmdet3d')
    torch.manual_seed(0)
    model = MODELS.build(config.model).train()
    step = Step(model, build_optim_wrapper(model, config.optim_wrapper), made_up_batch(args.batch, 16384))
    print(f'{sum(weight.numel() for weight in model.parameters()) / 1e6:.1f} million weights')

    runner = SimpleNamespace(model=model, optim_wrapper=step.optimizer, message_hub=MessageHub('guards'), iter=0)
    guards = {}
    for hook in (FiniteHook(), SkipEmptyBatchHook()):
        guards[type(hook).__name__] = watch = Stopwatch()
        for name in ('before_train_iter', '_before_step', 'after_train_iter'):
            setattr(hook, name, watch.wrap(getattr(hook, name)))
        hook.before_train(runner)
        watch.hook = hook

    shares = {name: [] for name in guards}
    for number in range(args.steps + 1):
        for watch in guards.values():
            watch.seconds = 0.0
        start = clock()
        for watch in guards.values():
            watch.hook.before_train_iter(runner, 0)
        step.train()
        for watch in guards.values():
            watch.hook.after_train_iter(runner, 0)
        whole = clock() - start
        if number:  # the first one compiles
            for name, watch in guards.items():
                shares[name].append((watch.seconds, watch.seconds / whole))
            print(f'step {number}: {whole:.2f} s', flush=True)
    for name, pairs in shares.items():
        seconds, ratios = zip(*pairs)
        print(f'{name}: {1e3 * median(seconds):.1f} ms, {100 * median(ratios):.2f}% of the step '
              f'({100 * min(ratios):.2f} to {100 * max(ratios):.2f}%)')


if __name__ == '__main__':
    main()
