"""Carries out the protocol for several backbones, in this process or in some that share the work."""
import multiprocessing
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.logging import print_log

from ...errors import ConfigError
from .backbones import build_backbone, has_own_random_weights
from .benchmark import CALIBRATED, CLASS_INIT, POSITION, Measurement, Settings, TransferBenchmark

Backbones = Mapping[str, list[str] | None]
"""Checkpoints by name, as ``parse_backbones`` returns them."""


class Job(NamedTuple):
    """A backbone's or control's name, and a method of ``TransferBenchmark`` with its arguments."""
    name: str
    method: str
    arguments: tuple


Run = Callable[[Sequence[Job]], list]
"""Results of jobs, in their order."""

_benchmark: TransferBenchmark | None = None  # of a worker process


def measure_all(cfg: Config, backbones: Backbones, settings: Settings = Settings(), num_workers: int = 1,
                finetuned: Collection[str] | None = None,
                finetuned_long: Collection[str] = ()) -> dict[str, Measurement]:
    """Measure backbones, and the controls.

    Args:
        cfg: See ``TransferBenchmark``.
        backbones: Checkpoints by name; None for random weights.
        settings: Numbers of frames, steps and seeds.
        num_workers: Processes that share the work on a CPU, each with one thread. 1: this process,
            with all its threads.
        finetuned: Names of the backbones that are fine-tuned as well as probed; None: all.
        finetuned_long: Those of them that are fine-tuned four times as long as well.

    Raises:
        ConfigError: Several workers on a GPU; more checkpoints under one name than there are seeds.
        CheckpointError: See ``build_backbone``; before anything is measured.
        DataError: See ``TransferBenchmark``.
    """
    for name, checkpoints in backbones.items():
        if len(checkpoints or []) > settings.num_seeds:
            raise ConfigError(f'{name}: {len(checkpoints)} checkpoints, but {settings.num_seeds} seeds, each of '
                              'which takes one of them; measure as many seeds at least')
        for checkpoint in checkpoints or []:
            build_backbone(cfg, checkpoint)
    finetuned = list(backbones) if finetuned is None else finetuned
    with _workers(cfg, settings, num_workers) as run:
        measurements = _probe(run, backbones, settings)
        _fine_tune(run, {name: backbones[name] for name in finetuned}, measurements, settings)
        _fine_tune(run, {name: backbones[name] for name in finetuned_long}, measurements, settings,
                   long=True)
        return {**measurements, **_measure_controls(run, settings, has_own_random_weights(cfg))}


def _probe(run: Run, backbones: Backbones, settings: Settings) -> dict[str, Measurement]:
    jobs = [Job(name, 'probe', (seed, checkpoints)) for name, checkpoints in backbones.items()
            for seed in range(settings.num_seeds)]
    return {name: Measurement(errors)
            for name, errors in zip(backbones, _chunks(run(jobs), settings.num_seeds))}


def _fine_tune(run: Run, backbones: Backbones, measurements: dict[str, Measurement], settings: Settings,
               long: bool = False) -> None:
    """Add the errors after fine-tuning; first of all choose each backbone's learning rate."""
    untuned = [name for name in backbones if not measurements[name].tuning]
    for name, errors in zip(untuned, run([Job(name, 'tune', (backbones[name], )) for name in untuned])):
        measurements[name].tuning = errors
    jobs = [Job(name, 'fine_tune', (seed, checkpoints, measurements[name].learning_rate, long))
            for name, checkpoints in backbones.items() for seed in range(settings.num_seeds)]
    for name, errors in zip(backbones, _chunks(run(jobs), settings.num_seeds)):
        setattr(measurements[name], 'finetune_long' if long else 'finetune', errors)


def _measure_controls(run: Run, settings: Settings, own_init: bool) -> dict[str, Measurement]:
    seeds = range(settings.num_seeds)
    jobs = {CALIBRATED: [Job(CALIBRATED, 'probe', (seed, None, True)) for seed in seeds],
            CLASS_INIT: [Job(CLASS_INIT, 'probe_class_init', (seed, )) for seed in seeds if own_init],
            POSITION: [Job(POSITION, 'probe_position', (seed, )) for seed in seeds]}
    return {name: Measurement(run(of_name)) for name, of_name in jobs.items() if of_name}


def _chunks(results: list, size: int) -> list[list]:
    return [results[start:start + size] for start in range(0, len(results), size)]


@contextmanager
def _workers(cfg: Config, settings: Settings, num_workers: int) -> Iterator[Run]:
    """What carries out jobs."""
    benchmark = TransferBenchmark(cfg, settings)
    if num_workers == 1:
        yield lambda jobs: [_log(job, getattr(benchmark, job.method)(*job.arguments)) for job in jobs]
        return
    if get_device() != 'cpu':
        raise ConfigError(f'num_workers={num_workers}: several processes are for CPUs; leave it at 1 on '
                          'a GPU')
    # Forked workers share the frames; with one thread each they do not miss the parent's.
    context = multiprocessing.get_context('fork')
    with ProcessPoolExecutor(num_workers, context, _start_worker, (benchmark, )) as pool:
        yield lambda jobs: [_log(job, result) for job, result in zip(jobs, pool.map(_work, jobs))]


def _start_worker(benchmark: TransferBenchmark) -> None:
    global _benchmark
    torch.set_num_threads(1)
    _benchmark = benchmark


def _work(job: Job) -> Any:
    return getattr(_benchmark, job.method)(*job.arguments)


def _log(job: Job, result: Any) -> Any:
    """Print what a job found, and pass it on."""
    found = (', '.join(f'{error:.3f} at {rate:g}' for rate, error in result.items())
             if isinstance(result, dict) else f'{result.abs_rel:.3f}')
    print_log(f'{job.name}, {job.method}: AbsRel {found}')
    return result
