"""Train what a config describes: SimIPU, or any model of OpenMMLab."""
import logging
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial

from mmengine.config import Config
from mmengine.dist import get_dist_info

from ..config import check_device, check_parts, construction_errors_named
from ..engine import launch
from ..engine.processes import is_lost_connection, keep_workers_through_signals, part_from_others, stop_with_launcher
from ..engine.stop_hook import StopHook
from ..engine.work_dir import check_no_training_inside, locked
from ..errors import OutputError, TrainingError
from ..files import is_disk_full, space_left


def add_arguments(parser: ArgumentParser) -> None:
    launch.add_common_arguments(parser)
    parser.add_argument('--amp', action='store_true', help='train in mixed precision')
    parser.add_argument('--resume', nargs='?', const='auto', metavar='CHECKPOINT',
                        help='go on from a checkpoint; without a path from the latest in the work dir')
    parser.add_argument('--auto-scale-lr', action='store_true',
                        help='scale learning rates with the batch size over all processes')
    parser.add_argument('--no-val', action='store_true', help='train without validation')


def main(args: Namespace) -> None:
    cfg = launch.load_config(args)
    if args.no_val:
        launch.disable_validation(cfg)
    check_parts(cfg, 'train_dataloader', 'train_cfg', 'optim_wrapper')
    check_device(cfg, 'model', 'val_evaluator')
    if args.amp:
        launch.enable_amp(cfg)
    if args.auto_scale_lr:
        launch.enable_auto_scale_lr(cfg)
    if args.resume or cfg.get('resume'):
        launch.set_resume(cfg, args.resume or cfg.get('load_from') or 'auto')
    else:
        check_no_training_inside(cfg.work_dir)
    if cfg.get('load_from') and not cfg.get('resume'):
        launch.set_checkpoint(cfg, cfg.load_from)
    with locked(cfg.work_dir) if launch.is_first_process(cfg.launcher) else nullcontext(), \
            construction_errors_named(cfg), _explained(cfg.work_dir):
        _train(cfg, args.no_val)


def _train(cfg: Config, no_val: bool) -> None:
    if cfg.launcher != 'none':
        stop_with_launcher()
    runner = launch.build_runner(cfg, strict=cfg.get('resume', False))
    if no_val:
        runner.logger.info('Training without validation, because of --no-val: only the losses tell its progress')
    stop_hook = StopHook()
    runner.register_hook(stop_hook)
    keep_workers_through_signals(runner)
    handlers = list(runner.logger.handlers)
    for handler in handlers:
        handler.handleError = partial(_handle_error, handler)  # in the place of a traceback for each line
    try:
        runner.train()
    finally:
        stop_hook.restore()
        for handler in handlers:
            del handler.handleError
    if cfg.launcher != 'none':
        part_from_others()


def _handle_error(handler: logging.StreamHandler, record: logging.LogRecord) -> None:
    """A log that cannot be written ends the training; a terminal, or who reads its output, may go away meanwhile."""
    error = sys.exc_info()[1]  # which the handler has caught
    if isinstance(handler, logging.FileHandler) or not isinstance(error, OSError) or is_disk_full(error):
        raise error
    with open(os.devnull, 'w') as nowhere:
        os.dup2(nowhere.fileno(), handler.stream.fileno())


@contextmanager
def _explained(work_dir: str) -> Iterator[None]:
    """What other processes or a full disk did to this one is told in words."""
    try:
        yield
    except RuntimeError as error:
        rank, world_size = get_dist_info()
        if world_size == 1 or not is_lost_connection(error):
            raise
        raise TrainingError(
            f'process {rank} of {world_size} waits for the others in vain: one of them failed (then its message is '
            'above), was killed, or has not answered for env_cfg.dist_cfg.timeout seconds. --resume goes on from the '
            f'last checkpoint ({str(error).splitlines()[0]})') from error
    except OSError as error:
        if not is_disk_full(error):
            raise
        raise OutputError(f'logs cannot be written ({error.strerror}): {space_left(work_dir)}; --resume goes on '
                          'from the last checkpoint') from error
