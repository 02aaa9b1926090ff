"""What can fail in a training is tried before its first step."""
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from shutil import disk_usage
from typing import Any

import numpy as np
import torch
from mmdet3d.registry import HOOKS
from mmengine.device import get_device
from mmengine.dist import all_reduce, get_rank, get_world_size, is_main_process
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.model import BaseModel, is_model_wrapper
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ..errors import ConfigError, OutputError, TrainingError, summary, user_message
from ..files import space_left
from ..seeding import SeededIndex
from .processes import is_lost_connection

_FILE = '.dry_run.pth'


@HOOKS.register_module()
class DryRunHook(Hook):
    """Tries one batch of training, validation on two frames, and saving, before the first step.

    So a validation set of one frame, a metric that does not fit the model, or a disk that is too small is reported
    at once and not after the first epoch. Weights, buffers and random numbers are afterwards what they were, so that
    results are the same to the last bit. It takes the time of one step, of two frames of validation and of one
    checkpoint. Metrics that take any number of frames (``takes_part_of_a_set``) also compute their result.

    Several processes go on only where it worked in all of them.

    Args:
        enabled: ``--cfg-options default_hooks.dry_run.enabled=False`` leaves it out.

    Raises:
        ConfigError: The model or a metric fails on what the config gives them.
        OutputError: The work dir cannot be written to, or its disk has no room for a checkpoint.
        TrainingError: It failed in another process.
    """
    priority = 'LOW'  # after hooks that check what they find when the training begins

    def __init__(self, enabled: bool = True) -> None:
        self.enabled = enabled

    def before_train(self, runner: Runner) -> None:
        """Called after the checkpoint to go on from is loaded."""
        if not self.enabled:
            return
        model = _without_wrapper(runner)
        with _restored(model):
            batch = _agree(runner, 'training', _read)
            _agree(runner, 'training', partial(_train, batch), exchanges=True)
        with _restored(model):
            _agree(runner, 'validation', _validate)
            _agree(runner, 'validation', _score)
        with _restored(model):
            _agree(runner, 'saving', _save)
        runner.logger.info('Dry run: a batch of training, a validation and saving work')


def _read(runner: Runner) -> object:
    loader = runner.train_dataloader
    batch, = _first_batches(loader, _batch_size(loader))
    return batch


def _train(batch: object, runner: Runner) -> None:
    """Forward and backward, without the exchange of gradients; not for models that take their steps themselves."""
    model = _without_wrapper(runner)
    if type(model).train_step is not BaseModel.train_step:
        return
    model.train()
    model.train_step(batch, optim_wrapper=_WithoutStep(runner.optim_wrapper))


def _validate(runner: Runner) -> None:
    if runner.val_loop is None:
        return
    loader, evaluator = runner.val_loop.dataloader, runner.val_loop.evaluator
    model = _without_wrapper(runner)
    model.eval()
    with torch.no_grad(), torch.autocast(get_device(), enabled=getattr(runner.val_loop, 'fp16', False)):
        for batch in _first_batches(loader, _num_val_frames(loader)):
            evaluator.process(data_samples=model.val_step(batch), data_batch=batch)


def _score(runner: Runner) -> None:
    if runner.val_loop is None:
        return
    num_frames = _num_val_frames(runner.val_loop.dataloader) * get_world_size()
    errors = []
    for metric in runner.val_loop.evaluator.metrics:
        if getattr(metric, 'takes_part_of_a_set', False):
            with _errors_kept(metric, errors):
                metric.evaluate(num_frames)
        metric.results.clear()
    if errors:
        raise errors[0]


@contextmanager
def _errors_kept(metric: BaseMetric, errors: list[Exception]) -> Iterator[None]:
    """The first process alone computes, and all others wait for what it finds: so it goes on after an error."""
    compute = metric.compute_metrics

    def compute_metrics(results: list) -> dict:
        try:
            return compute(results)
        except Exception as error:
            errors.append(error)
            return {}

    metric.compute_metrics = compute_metrics
    try:
        yield
    finally:
        del metric.compute_metrics


def _num_val_frames(loader: DataLoader) -> int:
    """In each process."""
    return min(2, len(loader.dataset))


def _save(runner: Runner) -> None:
    """An optimizer that has no state yet usually keeps no more than two numbers for each weight."""
    runner.save_checkpoint(runner.work_dir, _FILE, by_epoch=False)
    if not is_main_process():
        return
    path = Path(runner.work_dir, _FILE)
    try:
        size = path.stat().st_size
    finally:
        path.unlink(missing_ok=True)
    if runner.iter == 0:
        size += 2 * sum(weight.nbytes for weight in runner.model.parameters() if weight.requires_grad)
    if disk_usage(runner.work_dir).free < size:
        raise OutputError(f'a checkpoint takes up to {size / 1e6:.1f} MB, and {space_left(runner.work_dir)} with '
                          '--work-dir')


class _WithoutStep:
    """An optimizer wrapper to ``train_step``, which gets its gradients and does nothing with them."""

    def __init__(self, wrapper: OptimWrapper) -> None:
        self.optim_context = wrapper.optim_context

    def update_params(self, loss: Tensor) -> None:
        loss.backward()


def _without_wrapper(runner: Runner) -> nn.Module:
    return runner.model.module if is_model_wrapper(runner.model) else runner.model


def _batch_size(loader: DataLoader) -> int:
    return loader.batch_size or loader.batch_sampler.batch_size


def _first_batches(loader: DataLoader, num_frames: int) -> Iterator[object]:
    """Frames from the start of the data set, other ones in each process, augmented by seeds of their own."""
    first, total = get_rank() * num_frames, len(loader.dataset)
    numbers = range(first, first + num_frames)
    for start in range(0, num_frames, _batch_size(loader)):
        yield loader.collate_fn([loader.dataset[SeededIndex(index % total, seed=index)]
                                 for index in numbers[start:start + _batch_size(loader)]])


def _agree(runner: Runner, name: str, attempt: Callable[[Runner], Any], exchanges: bool = False) -> Any:
    """Raise what the attempt raises, and an error in all other processes; else return what it returns.

    Where processes wait for one another within the attempt (``exchanges``), as a model does for the keys of all, one
    that fails cannot tell the others: it ends at once, and they lose the connection.
    """
    result = error = None
    try:
        result = attempt(runner)
    except Exception as raised:
        error = raised
    failed = torch.tensor(int(error is not None))
    if error is None or not exchanges:
        all_reduce(failed, 'max')
    if error is not None:
        if get_world_size() > 1 and is_lost_connection(error):
            raise error
        runner.logger.error(f'Dry run: {name} failed, before the first step')
        if user_message(error) is not None:
            raise error
        raise ConfigError(f'dry run: {name} failed before the first step ({summary(error)}); correct '
                          'what does not fit the rest of the config, the data or the machine. With '
                          'SIMIPU_TRACEBACK=1 in the environment it is shown where') from error
    if failed:
        raise TrainingError(f'dry run: {name} failed in another process, whose message says why')
    return result


@contextmanager
def _restored(model: nn.Module) -> Iterator[None]:
    """Weights, buffers, gradients, random numbers and the mode of the model are afterwards as before."""
    tensors = [(tensor, tensor.detach().clone()) for tensor in chain(model.parameters(), model.buffers())]
    training, states = model.training, (random.getstate(), np.random.get_state())
    with torch.random.fork_rng([torch.cuda.current_device()] if torch.cuda.is_available() else []):
        yield
    random.setstate(states[0])
    np.random.set_state(states[1])
    with torch.no_grad():
        for tensor, before in tensors:
            tensor.copy_(before)
    model.zero_grad(set_to_none=True)
    model.train(training)
