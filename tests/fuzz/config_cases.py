"""Malformed configs: of each setting another value, a misspelt name, nothing at all; broken files; broken overrides."""
import os
import random
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from mmengine.config import Config
from outcomes import PAYLOAD, Case
from sound_project import run, sound_project, train

from simipu.config.runner_keys import RUNNER_KEYS

_BUILT = ('model', 'train_dataloader', 'val_dataloader', 'train_cfg', 'val_cfg', 'optim_wrapper', 'param_scheduler',
          'val_evaluator', 'default_hooks', 'custom_hooks', 'visualizer', 'log_processor', 'env_cfg', 'randomness',
          'auto_scale_lr', 'default_scope', 'log_level', 'load_from', 'resume', 'work_dir', 'custom_imports')
_TEXTS = {
    'syntax.py': 'model = dict(', 'name.py': 'model = modell', 'division.py': 'lr = 1 / 0',
    'import.py': 'import no_such_module', 'exception.py': "raise RuntimeError('no')",
    'no_base.py': "_base_ = 'missing.py'", 'base_in_a_circle.py': "_base_ = './base_in_a_circle.py'",
    'base_of_a_number.py': '_base_ = 5', 'base_of_no_package.py': "_base_ = 'no_such_package::a.py'",
    'base_not_in_the_package.py': "_base_ = 'mmdet3d::no/such.py'", 'base_that_is_a_folder.py': "_base_ = './'",
    'base_of_a_pickle.py': "_base_ = 'a.pkl'", 'reserved.py': "filename = 'a'", 'nothing.py': '',
    'tabs.py': 'if True:\n\tmodel = 1\n        a = 2', 'nul.py': 'a = 1\0', 'deep.py': 'a = ' + '[' * 500 + ']' * 500,
    'custom_imports.py': "custom_imports = dict(imports=['no_such_module'], allow_failed_imports=False)",
    'custom_imports_number.py': 'custom_imports = dict(imports=5)', 'custom_imports_list.py': 'custom_imports = [1]',
    'list.json': '[1, 2]', 'broken.json': '{"model": ', 'text.json': '"model"', 'number.yaml': '5',
    'broken.yaml': 'model: [1, 2', 'code.yaml': f'model: !!python/object/apply:os.system ["{PAYLOAD}"]',
    'code.yml': f'model: !!python/object/new:os.system ["{PAYLOAD}"]', 'module.yaml': 'model: !!python/module:os',
    'code.pkl': 'cos\nsystem\n(S' + repr(PAYLOAD) + '\ntR.', 'config.txt': 'model = 5', 'no_suffix': 'model = 5',
    'lfs.py': 'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n',
    'base_code.py': "_base_ = './base_code_base.yaml'"}
_OVERRIDES = (
    ['abc'], ['=5'], ['a..b=1'], ['.a=1'], ['model.=1'], ['model=5'], ['model'], ['batch_size', '=', '2'],
    ['model=(1,2'], ['train_cfg=None'], ['train_dataloader.batch_size=-1'], ['batch_size=0'], ['batch_size=1.5'],
    ['batch_size=many'], ['batch_size='], ['max_iters=0'], ['max_iters=-3'], ['max_iters=1e400'], ['max_iters=nan'],
    ['seed=-1'], ['seed=x'], ['seed=99999999999'], ['optim_wraper.lr=1'], ['lr=1'], ['model.inter_head.detach_key=1'],
    ['model.inter_head.7.a=1'], ['model.img_backbone.depth=17'], ['model.img_backbone.depth=x'],
    ['model.img_backbone.depth=(18,)'], ['num_workers=-1'], ['num_workers=100000'],
    ['train_dataloader.sampler.type=Nothing'], ['custom_hooks=5'], ['custom_hooks.0=5'], ['custom_hooks.0.type=5'],
    ['default_hooks.checkpoint.interval=x'], ['param_scheduler=x'], ['default_hooks.logger=5'], ['val_evaluator=5'],
    ['log_level=LOUD'], ['default_scope=nothing'], ['data_root=5'], ['optim_wrapper.optimizer.default.lr=-1'],
    ['optim_wrapper.optimizer.default.lr=inf'], ['load_from=5'], ['load_from=missing.pth'],
    ['train_dataloader.dataset.ann_file=missing.pkl'], ['env_cfg.mp_cfg=5'],
    ['train_dataloader.persistent_workers=True'], ['train_dataloader.prefetch_factor=4'], ['randomness.seed=1.5'],
    ['resume=5'], ['visualizer.vis_backends=5'], ['model.img_level=9'], ['model.inter_head.0.loss.temperature=0'])
# Settings that fit their type and not the rest, or not the world.
_MISFITS = """
model.inter_head.0.query_projector.in_channels=9 model.intra_head.query_projector.in_channels=9
model.point_encoder.in_channels=7 model.img_level=[0,1,2] model.img_level=[0] model.img_level=0
model.img_backbone.num_stages=9 model.img_backbone.out_indices=[7] model.img_backbone.out_indices=[1]
model.matcher=None model.data_preprocessor.mean=[1] model.data_preprocessor.std=[0,0,0]
model.data_preprocessor.std=[1,-1,1] model.point_encoder.radii=((1,),(2,))
model.key_momentum=2 model.occlusion.a=1 model.inter_head.0.loss.temperature=-1 model.inter_head.0.queue_size=-1
model.inter_head.0.detach_key=nothing train_dataloader.dataset.pipeline.0.load_dim=5
train_dataloader.dataset.pipeline.0.use_dim=9 train_dataloader.dataset.pipeline.0.use_dim=[0,7]
train_dataloader.dataset.pipeline.2.scale=(10,) train_dataloader.dataset.pipeline.2.scale=(-5,5)
train_dataloader.dataset.pipeline.3.num_points=0 train_dataloader.dataset.pipeline.3.visible_share=1.5
train_dataloader.dataset.cameras=[NOTHING] train_dataloader.dataset.on_bad_frame=ignore
train_dataloader.dataset.max_bad_share=7 train_dataloader.dataset.indices=0 train_dataloader.sampler.infinite=False
train_dataloader.collate_fn.type=nothing train_dataloader.batch_sampler.type=x train_dataloader.batch_size=100
train_dataloader.drop_last=maybe train_dataloader.timeout=-1 param_scheduler.0.begin=10 param_scheduler.1.end=0
param_scheduler.0.start_factor=-1 param_scheduler.0.begin=-3 train_cfg.val_begin=-1 train_cfg.val_interval=2.5
train_cfg.dynamic_intervals=5 train_cfg.type=ValLoop default_hooks.checkpoint.save_best=nothing
default_hooks.checkpoint.rule=most default_hooks.checkpoint.max_keep_ckpts=x default_hooks.checkpoint.out_dir=5
default_hooks.checkpoint.by_epoch=perhaps default_hooks.logger.interval=0.5 default_hooks.sampler_seed.a=1
custom_hooks.0.priority=SOON custom_hooks.2.max_in_a_row=0 val_evaluator.1.depth_range=[5,1]
val_evaluator.1.depth_range=[1] val_evaluator.0.gallery_frames=0 optim_wrapper.optimizer.img_bckbone.type=SGD
optim_wrapper.clip_grad.max_norm=-1 optim_wrapper.clip_grad=5 optim_wrapper.clip_grad.norm=1
optim_wrapper.accumulative_counts=-1 optim_wrapper.constructor=Nothing optim_wrapper.paramwise_cfg.custom_key=5
optim_wrapper.type=AmpWrapper optim_wrapper.optimizer.default.betas=[5,1] optim_wrapper.optimizer.default.type=Adamw
env_cfg.mp_cfg.mp_start_method=thread env_cfg.dist_cfg=nccl log_processor.window_size=abc log_processor.by_epoch=3
visualizer.vis_backends.0.type=Nothing visualizer.name=5 experiment_name=a/b work_dir=5 randomness.deterministic=maybe
auto_scale_lr.base_batch_size=0 auto_scale_lr.enable=x find_unused_parameters=5 sync_bn=nothing compile=x
activation_checkpointing=[nothing] efficient_conv_bn_eval=[nothing] custom_imports.imports=[nothing] launcher=ssh
model_wrapper_cfg.type=Nothing runner_type=Nothing
""".split()
_VALUES = ('text', '', None, -1, 0, 0.5, 1e30, float('nan'), 10**9, True, [], {}, [1, 'a'], dict(type='Nothing'),
           dict(a=1), 'é\x00', b'x')


def cases(seed: int = 0, values_of_each: int = 1) -> Iterator[Case]:
    """All cases; every setting gets ``values_of_each`` wrong values."""
    rng = random.Random(seed)
    built = {key: value for key, value in Config.fromfile(sound_project().config).to_dict().items() if key in _BUILT}
    for key in sorted(RUNNER_KEYS):
        yield Case('configs: names', f'{key} misspelt beside the right one', partial(_train_child, _misspelt(key, rng)),
                   judge=_warned)
    for place in _places(built):
        if isinstance(place[-1], str) and not _may_be_called_anything(place):
            wrong = _misspelt(place[-1], rng)
            yield Case('configs: names', f'{_dotted(place)} as {wrong}', partial(_train, _renamed(place, wrong)))
        for value in rng.sample(_VALUES, values_of_each):
            yield Case('configs: values', f'{_dotted(place)} = {value!r:.30}', partial(_train, _set(place, value)),
                       judge=lambda found: None)  # some are as good as the right one
    for name, text in _TEXTS.items():
        yield Case('configs: files', name, partial(_read, name, text))
    for name, write in dict(missing=str, folder=Path.mkdir, pipe=os.mkfifo,
                            binary=lambda path: path.write_bytes(bytes(range(256)))).items():
        yield Case('configs: files', name, partial(_read_written, write))
    for word in _MISFITS:
        yield Case('configs: misfits', word, partial(_override, [word]), judge=lambda found: None)  # as above
    for words in _OVERRIDES:
        yield Case('configs: --cfg-options', ' '.join(words), partial(_override, words))


def _places(value: Any, place: tuple = ()) -> Iterator[tuple]:
    """Of all settings."""
    if place:
        yield place
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from _places(item, (*place, key))


def _dotted(place: tuple) -> str:
    return '.'.join(map(str, place))


def _misspelt(name: str, rng: random.Random) -> str:
    """As people type: a letter twice, left out, or changed places with the next."""
    at = rng.randrange(1, max(2, len(name) - 1))
    wrong = rng.choice([name[:at] + name[at - 1:], name[:at] + name[at + 1:],
                        name[:at - 1] + name[at:at + 1] + name[at - 1] + name[at + 1:]])
    return wrong if wrong != name else name + 's'


def _train(changed: Callable[[dict], dict], folder: Path) -> str:
    """Train what is left of the sound config."""
    cfg = Config.fromfile(sound_project().config).to_dict()
    text = ''.join(f'{key} = {value!r}\n' for key, value in changed(cfg).items())
    (folder / 'config.py').write_text(f'from math import inf, nan\n{text}')
    return train(folder / 'config.py')


def _set(place: tuple, value: Any) -> Callable[[dict], dict]:
    def changed(cfg: dict) -> dict:
        _around(cfg, place)[place[-1]] = value
        return cfg

    return changed


def _renamed(place: tuple, name: str) -> Callable[[dict], dict]:
    def changed(cfg: dict) -> dict:
        around = _around(cfg, place)
        around[name] = around.pop(place[-1])
        return cfg

    return changed


def _around(cfg: dict, place: tuple) -> Any:
    """What holds the setting."""
    for key in place[:-1]:
        cfg = cfg[key]
    return cfg


def _may_be_called_anything(place: tuple) -> bool:
    """Names that the config is free to choose."""
    return place[:-1] in (('optim_wrapper', 'optimizer'), ('default_hooks', )) or 'metainfo' in place or (
        place[-1] in ('_scope_', ))


def _train_child(key: str, folder: Path) -> str:
    """Train a config that adds a key to the sound one, as people change what they build on."""
    (folder / 'config.py').write_text(f"_base_ = '{sound_project().config}'\n{key} = dict(a=1)\n")
    return train(folder / 'config.py')


def _warned(said: str) -> str | None:
    return None if 'did you mean' in said else 'was accepted without a warning'


def _read(name: str, text: str, folder: Path) -> str:
    (folder / name).write_text(text)
    (folder / 'base_code_base.yaml').write_text(_TEXTS['code.yaml'])
    return train(folder / name)


def _read_written(write: Callable[[Path], Any], folder: Path) -> str:
    write(folder / 'config.py')
    return train(folder / 'config.py')


def _override(words: list[str], folder: Path) -> str:
    return run('train', sound_project().config, '--work-dir', 'work_dir', '--cfg-options', *words)
