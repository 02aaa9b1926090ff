"""A resumed training goes on as if it had never stopped."""
import math
from collections.abc import Sequence
from itertools import chain, repeat

from mmdet3d.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import IterBasedTrainLoop, Runner
from torch.utils.data import DataLoader

from ..errors import ConfigError
from ..seeding import mix_seeds, seed_everything
from .resumable_sampler import ResumableSampler

_SEED = 'sampler_seed'
_DRAWN = 'samples_drawn'


class _Batches(chain):

    def skip_iter(self, number: int) -> None:
        """Called by onedl-mmengine's loop, where mmengine's draws so many batches by itself."""
        for _ in range(number):
            next(self)


@HOOKS.register_module()
class ResumeHook(Hook):
    """Makes the randomness of each iteration a function of the seed and the iteration alone.

    MMEngine restores weights, optimizer and schedules, but no random numbers: those of the model and of
    the loader's workers start anew, a loop over epochs begins the interrupted one again, and a loop
    over iterations loads everything anew that was trained before. With this hook and a
    ``ResumableSampler``, losses after ``--resume`` equal those of a training in one go: exactly on CPU;
    on CUDA up to rounding, as sums are taken in changing order there.

    Checkpoints hold how many samples all processes drew together: of the unfinished epoch, or in a
    loop over iterations since the start. So another batch size or number of processes may be used
    after resuming, and the data still go on where they stopped. Where the samples drawn do not divide
    by the processes, the last few come again. ``loop.iter`` stays the number of iterations done; that
    of all iterations (``loop.max_iters``) follows the new batches, but schedules that count iterations
    keep the lengths they have in the checkpoint.
    """

    priority = 'VERY_HIGH'

    def before_train(self, runner: Runner) -> None:
        """Let the data go on where the checkpoint was saved; called after it is loaded.

        Also gives the sampler the batch size, so that the images of a batch can share their random scale.

        Raises:
            ConfigError: The training data loader has another sampler, or drops incomplete batches and has no full one.
        """
        loop, sampler = runner.train_loop, runner.train_dataloader.sampler
        by_iteration = isinstance(loop, IterBasedTrainLoop)
        if not isinstance(sampler, ResumableSampler) or sampler.infinite != by_iteration:
            raise ConfigError(f'ResumeHook: with {type(loop).__name__} expected train_dataloader.sampler='
                              f"dict(type='ResumableSampler', infinite={by_iteration}), found {sampler!r}")
        _check_that_there_is_a_batch(loop.dataloader)
        # The sampler was built before the checkpoint was loaded, whose seed must win.
        sampler.seed = runner.message_hub.runtime_info.get(_SEED, sampler.seed)
        runner.message_hub.update_info(_SEED, sampler.seed)
        sampler.batch_size = runner.train_dataloader.batch_size
        self._drawn = 0
        if loop.iter > 0:
            self._go_on(runner, by_iteration)
        if by_iteration:
            # Anew, as workers began to load when the loop was built, before all this was known. The loop draws
            # and drops one batch for every iteration done; these cost nothing.
            loop.dataloader_iterator = _Batches(repeat(None, loop.iter), loop.dataloader)

    def _go_on(self, runner: Runner, by_iteration: bool) -> None:
        loop, loader = runner.train_loop, runner.train_dataloader
        sampler = loader.sampler
        if _DRAWN not in runner.message_hub.runtime_info:
            runner.logger.warning('ResumeHook: the checkpoint was saved without this hook and does not '
                                  'tell which samples were drawn; an epoch of the data begins anew')
        skipped = runner.message_hub.runtime_info.get(_DRAWN, 0) // sampler.world_size
        self._drawn = skipped * sampler.world_size
        sampler.skip(skipped)
        if by_iteration:
            return
        left_of_epoch = _num_batches(loader, max(0, len(sampler) - skipped))
        later_epochs = loop.max_epochs - loop.epoch - 1
        loop._max_iters = loop.iter + left_of_epoch + later_epochs * len(loader)

    def before_train_iter(self, runner: Runner, batch_idx: int,
                          data_batch: Sequence[dict] | None = None) -> None:
        """Seed what the model draws in this iteration, differently in each process."""
        seed = runner.train_dataloader.sampler.seed
        seed_everything(mix_seeds(seed, runner.iter, runner.rank))

    def after_train_iter(self, runner: Runner, batch_idx: int,
                         data_batch: Sequence[dict] | None = None,
                         outputs: dict | None = None) -> None:
        """Count the samples drawn, before a checkpoint is saved."""
        loader = runner.train_dataloader
        self._set_drawn(runner, self._drawn + loader.batch_size * loader.sampler.world_size)

    def after_train_epoch(self, runner: Runner) -> None:
        """Nothing is drawn of the next epoch yet; an infinite sampler counts on."""
        if not runner.train_dataloader.sampler.infinite:
            self._set_drawn(runner, 0)

    def _set_drawn(self, runner: Runner, drawn: int) -> None:
        self._drawn = drawn
        runner.message_hub.update_info(_DRAWN, drawn)


def _num_batches(loader: DataLoader, num_samples: int) -> int:
    """Batches that the loader makes of so many samples of one process."""
    batches = num_samples / loader.batch_size
    return math.floor(batches) if loader.drop_last else math.ceil(batches)


def _check_that_there_is_a_batch(loader: DataLoader) -> None:
    """Without one, a training by epochs would end at once, and one by iterations repeat frames within a batch."""
    if len(loader) > 0:
        return
    sampler = loader.sampler
    raise ConfigError(
        f'train_dataloader.batch_size is {loader.batch_size}, but {len(sampler.dataset)} frames over '
        f'{sampler.world_size} process(es) are only {len(sampler)} for each, and drop_last=True leaves out incomplete '
        f'batches. Add frames, or run with --cfg-options train_dataloader.batch_size={len(sampler)}')
