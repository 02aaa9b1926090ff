"""A resumed training goes on exactly as if it had never stopped."""
from itertools import chain, repeat
from typing import Optional, Sequence

from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, IterBasedTrainLoop, Runner

from mmdet3d.registry import HOOKS
from .resumable_sampler import ResumableSampler
from .seeding import mix_seeds, seed_everything

_SEED = 'sampler_seed'


@HOOKS.register_module()
class ResumeHook(Hook):
    """Makes the randomness of each iteration a function of the seed and the iteration alone.

    MMEngine restores weights, optimizer and schedules, but no random numbers: those of the model and of
    the loader's workers start anew, a loop over epochs begins the interrupted one again, and a loop
    over iterations loads everything anew that was trained before. With this hook and a
    :class:`ResumableSampler`, losses after ``--resume`` equal those of a training in one go.

    Another batch size or number of processes may be used after resuming; the data then continue after
    as many batches of the new size.
    """

    priority = 'VERY_HIGH'

    def before_train(self, runner: Runner) -> None:
        """Let the data go on where the checkpoint was saved; called after it is loaded.

        Raises:
            ValueError: The training data loader has another sampler.
        """
        loop, sampler = runner.train_loop, runner.train_dataloader.sampler
        by_iteration = isinstance(loop, IterBasedTrainLoop)
        if not isinstance(sampler, ResumableSampler) or sampler.infinite != by_iteration:
            raise ValueError(f'ResumeHook: with {type(loop).__name__} expected train_dataloader.sampler='
                             f"dict(type='ResumableSampler', infinite={by_iteration}), found {sampler!r}")
        # The sampler was built before the checkpoint was loaded, whose seed must win.
        sampler.seed = runner.message_hub.runtime_info.get(_SEED, sampler.seed)
        runner.message_hub.update_info(_SEED, sampler.seed)
        if loop.iter > 0:
            self._go_on(loop, by_iteration)

    def _go_on(self, loop: BaseLoop, by_iteration: bool) -> None:
        loader = loop.dataloader
        if by_iteration:
            loader.sampler.skip(loop.iter * loader.batch_size)
            # The loop draws and drops one batch for every iteration done; these cost nothing.
            loop.dataloader_iterator = chain(repeat(None, loop.iter), loader)
            return
        batches = loop.iter - loop.epoch * len(loader)
        if 0 < batches <= len(loader):  # saved within an epoch, or at its end but before its last hooks
            loader.sampler.skip(batches * loader.batch_size)

    def before_train_iter(self, runner: Runner, batch_idx: int,
                          data_batch: Optional[Sequence[dict]] = None) -> None:
        """Seed what the model draws in this iteration, differently in each process."""
        seed = runner.train_dataloader.sampler.seed
        seed_everything(mix_seeds(seed, runner.iter, runner.rank))
