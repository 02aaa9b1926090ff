"""From a config file and command line flags to a runner."""
import os
import signal
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from .. import compat
from ..checkpoints.reading import check_finite, read_checkpoint, read_training_checkpoint
from ..config import OverrideAction, check_config, read_with_overrides
from ..config.options import whole_number
from ..errors import CheckpointError, ConfigError, user_message
from .latest_checkpoint import find_latest_checkpoint
from .strict_checkpoint_hook import SomethingFitsHook, StrictCheckpointHook


def add_common_arguments(parser: ArgumentParser) -> None:
    """The flags that training and testing share in OpenMMLab's projects."""
    parser.add_argument('config', help='config file')
    parser.add_argument('--work-dir', help='folder of logs and checkpoints (default: work_dir of the '
                        'config, else work_dirs/NAME_OF_CONFIG)')
    parser.add_argument('--data-root', help='folder of the data, in place of the config\'s data_root')
    parser.add_argument('--cfg-options', nargs='+', action=OverrideAction, metavar='KEY=VALUE',
                        help='override settings of the config, such as train_dataloader.batch_size=2 or '
                        'model.img_backbone.depth=18; lists as key=[a,b]')
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none',
                        help='how the processes were started; tools/dist_train.sh sets it')
    parser.add_argument('--local_rank', '--local-rank', type=whole_number(0), default=0,
                        help='set by torch.distributed.launch; torchrun does without')


def load_config(args: Namespace) -> Config:
    """Read the config, apply the common flags, and check it.

    Raises:
        ConfigError: There is no such file, or it is wrong.
    """
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    options = dict(args.cfg_options or {})
    data_root = options.pop('data_root', args.data_root)
    if data_root is not None and not isinstance(data_root, str):
        raise ConfigError(f'--cfg-options data_root={data_root}: expected a folder')
    cfg = read_with_overrides(args.config, options)
    if data_root:
        cfg = with_data_root(cfg, data_root)
    cfg.launcher = args.launcher
    if args.work_dir or not cfg.get('work_dir'):
        cfg.work_dir = args.work_dir or str(Path('work_dirs', Path(cfg.filename).stem))
    _leave_out_settings_of_workers(cfg)
    check_config(cfg)
    return cfg


def _leave_out_settings_of_workers(cfg: Config) -> None:
    """A loader without workers takes none of their settings, which configs have as they have workers."""
    for name in ('train', 'val', 'test'):
        loader = cfg.get(f'{name}_dataloader')
        if isinstance(loader, dict) and loader.get('num_workers') == 0:
            for key in ('persistent_workers', 'prefetch_factor'):
                loader.pop(key, None)


def with_data_root(cfg: Config, data_root: str) -> Config:
    """The config with another ``data_root`` wherever that stands, paths that begin with it included.

    A config's lines are evaluated when it is read, so overriding its ``data_root`` alone would change
    none of its data sets.

    Raises:
        ConfigError: The config has no ``data_root``, or its data sets have several others.
    """
    old_folder, data_root = _common_root(cfg).rstrip('/') + '/', data_root.rstrip('/')

    def replaced(value):
        if isinstance(value, dict):
            return {key: replaced(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return type(value)(replaced(item) for item in value)
        if isinstance(value, str) and f'{value}/'.startswith(old_folder):
            return data_root + value[len(old_folder) - 1:]
        return value

    return Config(replaced(cfg.to_dict()), filename=cfg.filename)


def _common_root(cfg: Config) -> str:
    """The config's ``data_root``, or that of its data sets where a config sets the variable and they do not follow."""
    root = cfg.get('data_root')
    if not root:
        raise ConfigError('--data-root: the config has no data_root; set the data_root of each of its '
                          'data sets with --cfg-options')
    of_data_sets = {found.rstrip('/') for name in ('train', 'val', 'test')
                    for found in _values_of('data_root', cfg.get(f'{name}_dataloader')) if isinstance(found, str)}
    if not of_data_sets or any(f'{found}/'.startswith(root.rstrip('/') + '/') for found in of_data_sets):
        return root
    if len(of_data_sets) > 1:
        raise ConfigError(f'--data-root: the data sets have {", ".join(sorted(of_data_sets))}; set the data_root of '
                          'each with --cfg-options')
    return of_data_sets.pop()


def _values_of(key: str, value: object) -> Iterator[object]:
    if isinstance(value, dict):
        for name, item in value.items():
            if name == key:
                yield item
            yield from _values_of(key, item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _values_of(key, item)


def enable_amp(cfg: Config) -> None:
    """Train in mixed precision: float16 with loss scaling on a GPU, bfloat16 on a CPU.

    Raises:
        ConfigError: The config has an optimizer wrapper for which there is no such variant.
    """
    wrapper = cfg.optim_wrapper
    kind = wrapper.get('type', 'OptimWrapper')
    if kind not in ('OptimWrapper', 'AmpOptimWrapper'):
        raise ConfigError(f'--amp: expected optim_wrapper.type OptimWrapper, found {kind}; remove --amp')
    if get_device() == 'cpu':
        for key in ('loss_scale', 'dtype'):
            wrapper.pop(key, None)
        wrapper.type = 'mmdet3d.CPUAmpOptimWrapper'  # whatever the config's default_scope
    else:
        wrapper.setdefault('loss_scale', 'dynamic')
        wrapper.type = 'AmpOptimWrapper'


def enable_auto_scale_lr(cfg: Config) -> None:
    """Scale the learning rates with the real batch size over all processes.

    Raises:
        ConfigError: The config does not say for which batch size they are.
    """
    if 'base_batch_size' not in (cfg.get('auto_scale_lr') or {}):
        raise ConfigError('--auto-scale-lr: the config has no auto_scale_lr.base_batch_size, the batch '
                          'size over all processes that its learning rates are made for')
    cfg.auto_scale_lr.enable = True


def disable_validation(cfg: Config) -> None:
    """Train without validation, as where there is no info file of a validation set."""
    cfg.val_dataloader = cfg.val_evaluator = cfg.val_cfg = None


def set_resume(cfg: Config, checkpoint: str) -> None:
    """Resume from ``checkpoint``, or with ``'auto'`` from the newest readable one in the work dir, if any.

    Raises:
        ConfigError: There is no such file.
        CheckpointError: It holds weights alone; or the work dir has checkpoints, and none can be read.
    """
    if checkpoint == 'auto':
        checkpoint, lines = _latest_checkpoint(cfg.work_dir)
        if is_first_process(cfg.launcher):
            print('\n'.join(f'--resume: {line}' for line in lines))
    cfg.resume = checkpoint is not None
    if cfg.resume:
        set_checkpoint(cfg, checkpoint)
        if '://' not in checkpoint:
            _check_schedules(cfg, checkpoint)


def _latest_checkpoint(work_dir: str) -> tuple[str | None, list[str]]:
    """The newest readable one, if any, and what to say about it."""
    latest = find_latest_checkpoint(work_dir)
    if latest.path is None:
        return None, [f'no checkpoint in {work_dir}; training begins at the first iteration']
    return str(latest.path), [*(f'passed over: {problem}' for problem in latest.passed_over),
                              f'going on from {latest.path}']


def _check_schedules(cfg: Config, checkpoint: str) -> None:
    """Raise a CheckpointError unless a training can go on from ``checkpoint`` with the schedules of the config."""
    wanted, found = cfg.get('param_scheduler') or [], read_training_checkpoint(checkpoint).get('param_schedulers', [])
    if isinstance(found, list) and len(found) != (len(wanted) if isinstance(wanted, list | tuple) else 1):
        raise CheckpointError(f'{checkpoint}: it holds the state of {len(found)} param_schedulers, the config has '
                              f'another number; resume with the param_scheduler it was trained with')


def set_checkpoint(cfg: Config, checkpoint: str) -> None:
    """Load ``checkpoint`` (a path, or an address that MMEngine can read).

    Raises:
        ConfigError: There is no such file.
        CheckpointError: It is damaged, no checkpoint, or holds NaN or infinity.
    """
    if '://' not in checkpoint:
        path = Path(checkpoint).expanduser()
        if not path.exists():
            found = ', '.join(map(str, sorted(path.parent.glob('*.pth')))) or 'none'
            raise ConfigError(f'no checkpoint file {checkpoint}; those in {path.parent}: {found}')
        check_finite(read_checkpoint(path).state_dict, path)
    cfg.load_from = checkpoint


# The variable that each launcher sets in the processes that it starts, and how to start them.
_LAUNCHERS = dict(
    pytorch=('RANK', 'torchrun; use bash tools/dist_train.sh CONFIG GPUS, or leave --launcher out for one process'),
    slurm=('SLURM_PROCID', 'srun; use bash tools/slurm_train.sh'),
    mpi=('OMPI_COMM_WORLD_RANK', 'mpirun'))


def check_launcher(launcher: str) -> None:
    """Raise a ConfigError if this process was not started by ``launcher``."""
    variable, remedy = _LAUNCHERS[launcher]
    if variable not in os.environ:
        raise ConfigError(f'--launcher {launcher}: {variable} is not set, so this process was not started by '
                          f'{remedy}')


def is_first_process(launcher: str) -> bool:
    """Whether this process has rank 0, before a process group exists."""
    return launcher == 'none' or os.environ.get(_LAUNCHERS[launcher][0]) == '0'


def build_runner(cfg: Config, strict: bool = False) -> Runner:
    """Build the runner; one process among several where ``cfg.launcher`` says so, on CPUs too.

    Args:
        cfg: From ``load_config``.
        strict: Whether a checkpoint must fit the model in every tensor.
    """
    if cfg.launcher != 'none':
        check_launcher(cfg.launcher)
        compat.init_cpu_process_group(cfg.launcher, cfg.get('env_cfg', {}).get('dist_cfg', {}).get('timeout'))
        compat.set_model_wrapper(cfg)
    if torch.cuda.is_available():
        _pin_memory(cfg)
    if cfg.get('visualizer'):  # by a fixed name, a second run in this process would write into the folder of the first
        cfg.visualizer.pop('name', None)
    runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
    runner.register_hook(StrictCheckpointHook() if strict else SomethingFitsHook())
    return runner


def _pin_memory(cfg: Config) -> None:
    """Let loaders leave batches where a GPU can fetch them while it computes, unless the config says otherwise."""
    for name in ('train', 'val', 'test'):
        if cfg.get(f'{name}_dataloader'):
            cfg[f'{name}_dataloader'].setdefault('pin_memory', True)


def run(main: Callable[[], int | None]) -> int | None:
    """Call ``main`` and return its result; a mistake in config or data ends the program with its message alone.

    So does Ctrl-C, without any; while a training runs, ``StopHook`` takes that. With ``SIMIPU_TRACEBACK=1`` in the
    environment, the place of a mistake in the program is shown.
    """
    try:
        return main()
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except Exception as error:
        message = user_message(error)
        if message is None or os.environ.get('SIMIPU_TRACEBACK') == '1':
            raise
        sys.exit(f'error: {message}')
