"""What is wrong with the values of a config, beside the names of types and keys."""
import math
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, Literal, Optional, Union

import pytest
from mmdet.registry import MODELS as MMDET_MODELS
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from simipu.config import check_config, check_parts, construction_errors_named, read_config
from simipu.config.annotations import could_be
from simipu.config.options import SEED, share, whole_number
from simipu.config.runner_keys import RUNNER_KEYS
from simipu.config.sections import check_kinds
from simipu.errors import ConfigError, DataError


@pytest.mark.parametrize('annotation, right, wrong', [
    (int, [1, -3, 1e5], [True, 1.5, '1', None, [1], math.inf]), (float, [1, 0.5, math.inf], [True, '1', None, {}]),
    (bool, [True], [1, 'x', None]), (str, ['x'], [1, None, ['x']]), (dict, [{}], [1, 'x', []]),
    (Optional[int], [None, 2], ['x', []]), (Union[str, list], ['x', []], [1, {}]),  # noqa: UP007, UP045  (as MMEngine)
    (int | None, [None], ['x']),
    (list[float], [[1, 2.5], (1, )], [1, 'x', ['x'], {}]), (Sequence[int], [[1]], ['x', [1.5], 3]),
    (tuple[int, int], [(1, 2), [1, 2]], [(1, ), (1, 2, 3), 5]), (Mapping, [{}], [[1], 'x']),
    (Literal['a', 'b'], ['a'], ['c', 1]), (Callable, ['name', len, dict(type='x')], [5, None]),
    (Any, [1, 'x', None], []), (Path, ['x'], [5, None]), ('int', [1, 'x'], [])])
def test_values_that_could_be_of_an_annotated_type(annotation, right, wrong):
    assert [value for value in right if not could_be(annotation, value)] == []
    assert [value for value in wrong if could_be(annotation, value)] == []


SOUND = dict(
    default_scope='mmdet3d', model=dict(type='mmdet.ResNet', depth=18),
    train_dataloader=dict(batch_size=1, dataset=dict(type='PairedDataset', ann_file='a.pkl'),
                          sampler=dict(type='DefaultSampler', shuffle=True)),
    train_cfg=dict(by_epoch=False, max_iters=3), optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
    param_scheduler=[dict(type='ExponentialLR', gamma=0.9)], val_evaluator=[dict(type='CrossModalRetrieval')],
    default_hooks=dict(logger=dict(type='LoggerHook', interval=5)), custom_hooks=[dict(type='FiniteHook')],
    visualizer=dict(type='Visualizer', vis_backends=[dict(type='LocalVisBackend')]), log_processor=dict(window_size=5),
    log_level='INFO', resume=False)


def changed(place: str, value: Any) -> Config:
    cfg = deepcopy(SOUND)
    around = cfg
    *keys, last = (int(key) if key.isdigit() else key for key in place.split('.'))
    for key in keys:
        around = around[key]
    around[last] = value
    return Config(cfg)


def test_a_sound_config_passes():
    check_config(Config(SOUND))
    check_config(changed('optim_wrapper', dict(
        type='AmpOptimWrapper', optimizer=dict(type='SGD', lr=1), loss_scale=512.,
        clip_grad=dict(max_norm=1, norm_type=2), paramwise_cfg=dict(norm_decay_mult=0))))


@pytest.mark.parametrize('place, value, message', [
    ('model', [1], r'^model: expected a dict, found \[1\]$'), ('custom_hooks', 'x', '^custom_hooks: expected a list'),
    ('resume', 'yes', "^resume: expected True or False, found 'yes'$"), ('load_from', 5, '^load_from: expected a text'),
    ('log_level', 'LOUD', "log_level: expected DEBUG, INFO, WARNING or ERROR, found 'LOUD'"),
    ('default_scope', 'mmdet4d', 'default_scope: expected an installed package'),
    ('custom_hooks.0', dict(interval=3), r'custom_hooks\[0\]: expected a dict with `type`'),
    ('custom_hooks.0', 'FiniteHook', r"custom_hooks\[0\]: expected a dict with `type`, found 'FiniteHook'"),
    ('custom_hooks.0.priority', 'SOON', r'custom_hooks\[0\].priority: expected a number from 0 to 100'),
    ('default_hooks.logger', 5, 'default_hooks.logger: expected a dict with `type`, found 5'),
    ('default_hooks.logger.interval', [5], r'default_hooks.logger.interval: expected int, found \[5\]'),
    ('custom_hooks.0', dict(type='CheckpointHook', max_kep_ckpts=3), "unknown key; did you mean 'max_keep_ckpts'"),
    ('train_dataloader.sampler', 'x', 'train_dataloader.sampler: expected a dict with `type`'),
    ('train_dataloader.sampler.shuffle', 'no', "sampler.shuffle: expected bool, found 'no'"),
    ('train_dataloader.num_workers', 10**6, 'num_workers: expected at most 1024 processes'),
    ('train_cfg.max_iter', 5, 'train_cfg.max_iter: unknown key; IterBasedTrainLoop takes'),
    ('custom_hooks.0', dict(type='CheckpointHook', filename_tmpl='{}{}'), 'filename_tmpl: expected one {} for'),
    ('custom_hooks.0', dict(type='CheckpointHook', filename_tmpl='last.pth'), 'filename_tmpl: expected one {}'),
    ('custom_imports', dict(iports=['simipu']), 'custom_imports.iports: unknown key; expected some of'),
    ('env_cfg', dict(dist_cfg=dict(itmeout=5)), 'env_cfg.dist_cfg.itmeout: unknown key'),
    ('visualizer', dict(type='Visualizer', vis_backends=[dict(tpe='LocalVisBackend')]),
     r'visualizer.vis_backends\[0\]: expected a dict with `type`'),
    ('custom_hooks.0', dict(type=''), r"custom_hooks\[0\].type: no .* is called ''"),
    ('train_cfg.val_interval', 0, 'train_cfg.val_interval: expected a whole number of at least 1'),
    ('log_processor.windowsize', 5, 'log_processor.windowsize: unknown key; LogProcessor takes'),
    ('log_processor.window_size', 0, 'log_processor.window_size: expected at least 1, found 0'),
    ('optim_wrapper.optimizer.lr', -1, 'optim_wrapper.optimizer.lr: expected at least 0 and finite, found -1'),
    ('optim_wrapper.optimizer.lr', math.inf, 'optim_wrapper.optimizer.lr: expected at least 0 and finite'),
    ('optim_wrapper.optimizer.lr', math.nan, 'optim_wrapper.optimizer.lr: expected a number, found nan'),
    ('optim_wrapper.accumulative_counts', 0, 'optim_wrapper.accumulative_counts: expected at least 1'),
    ('optim_wrapper.clip_grad', dict(max_norm=-1), 'optim_wrapper.clip_grad.max_norm: expected above 0'),
    ('param_scheduler.0.start_factor', 0, r'param_scheduler\[0\].start_factor: expected above 0'),
    ('optim_wrapper.clip_grad', dict(norm=1), 'optim_wrapper.clip_grad.norm: unknown key'),
    ('optim_wrapper.clip_grad', dict(type='both'), "optim_wrapper.clip_grad.type: expected 'norm' or 'value'"),
    ('optim_wrapper.paramwise_cfg', dict(bias_mult=2), 'optim_wrapper.paramwise_cfg.bias_mult: unknown key'),
    ('optim_wrapper.constructor', 'Hybrid', "no optimizer wrapper constructor is called 'Hybrid'"),
    ('auto_scale_lr', dict(enable='x'), "auto_scale_lr.enable: expected True or False, found 'x'"),
    ('env_cfg', dict(dist_cfg='nccl'), "env_cfg.dist_cfg: expected a dict, found 'nccl'"),
    ('sync_bn', 'yes', "sync_bn: expected 'torch' or 'mmcv', found 'yes'"),
    ('runner_type', 'Nothing', "runner_type: expected one of .*Runner, found 'Nothing'"),
    ('param_scheduler.0.gamma', 'x', r"param_scheduler\[0\].gamma: expected float, found 'x'"),
    ('val_evaluator.0.gallery_frames', -4, r'val_evaluator\[0\].gallery_frames: expected at least 1, found -4'),
    ('visualizer.vis_backends.0.type', 'Paper', "no visualizer or vis_backend is called 'Paper'")])
def test_wrong_values_are_named_before_anything_is_built(place, value, message):
    with pytest.raises(ConfigError, match=message):
        check_config(changed(place, value))


@pytest.mark.parametrize('key', sorted(RUNNER_KEYS - {'compile', 'model'}))
def test_a_misspelt_key_beside_the_right_one_of_a_base(key, tmp_path):
    (tmp_path / 'base.py').write_text(f'{key} = None\n')
    wrong = key[:2] + key[3:]
    (tmp_path / 'mine.py').write_text(f"_base_ = './base.py'\n{wrong} = dict(a=1)\n")
    with pytest.raises(ConfigError, match=rf'{wrong}: the Runner reads no such key, .* did you mean {key}\?'):
        check_config(read_config(tmp_path / 'mine.py'))


def test_a_variable_that_is_used_may_look_like_a_key(tmp_path):
    (tmp_path / 'mine.py').write_text("train_cfgs = dict(by_epoch=False, max_iters=3)\ntrain_cfg = train_cfgs\n")
    check_config(read_config(tmp_path / 'mine.py'))


@pytest.mark.parametrize('key, value', [('model', 5), ('default_scope', 5), ('default_scope', 'mmdet4d')])
def test_the_top_level_of_a_detector(key, value):
    check_kinds(Config(SOUND))
    with pytest.raises(ConfigError, match=f'^{key}: expected '):
        check_kinds(changed(key, value))


def test_parts_that_a_command_needs():
    with pytest.raises(ConfigError, match='^test_cfg: the config has none, and this command needs it$'):
        check_parts(Config(dict(SOUND, val_evaluator=None)), 'test_cfg')
    with pytest.raises(ConfigError, match='expected all or none, found no val_dataloader and no val_cfg'):
        check_parts(Config(SOUND), 'train_cfg')


@MODELS.register_module(force=True)
class Refuses:

    def __init__(self, error):
        raise error


def test_what_a_constructor_raises_names_its_place():
    cfg = Config(dict(model=dict(neck=dict(type='Refuses'))))
    for error in (KeyError('depth'), AssertionError('no')):
        with pytest.raises(ConfigError, match=rf'^model.neck, Refuses: .*\({type(error).__name__}: ') as info, \
                construction_errors_named(cfg):
            MODELS.build(dict(cfg.model.neck, error=error))
        assert info.value.__cause__ is error


@pytest.mark.parametrize('error', [DataError('a.pkl: broken'), FileNotFoundError(2, 'No such file', 'a.pkl')])
def test_errors_that_speak_for_themselves_stay(error):
    with pytest.raises(type(error)), construction_errors_named(Config()):
        MODELS.build(dict(type='Refuses', error=error))


def test_an_assertion_without_words_is_shown_itself():
    with pytest.raises(ConfigError, match=r'AssertionError: assert max\(out_indices\) < num_stages'), \
            construction_errors_named(Config()), DefaultScope.overwrite_default_scope('mmdet'):
        MMDET_MODELS.build(dict(type='ResNet', depth=18, out_indices=[7]))


def test_what_is_raised_later_stays():
    with pytest.raises(ZeroDivisionError), construction_errors_named(Config()):
        1 / 0


@pytest.mark.parametrize('name, text, message', [
    ('a.py', 'model = dict(', 'cannot be evaluated: SyntaxError'),
    ('a.py', '\n\nlr = 1 / 0', r'cannot be evaluated .*a.py, line 3.: ZeroDivisionError'),
    ('a.py', "_base_ = 'missing.py'", 'missing.py.*correct the path in `_base_`'),
    ('a.py', "_base_ = './a.py'", 'go round in a circle'), ('a.py', 'import no_such_module', 'no_such_module'),
    ('a.py', 'raise SystemExit(0)', 'SystemExit'), ('a.json', '[1]', 'cannot be evaluated'),
    ('a.yaml', 'a: !!python/object/apply:os.getcwd []', 'could not determine a constructor'),
    ('a.yaml', 'a: &a {b: *a}', 'its aliases .* stand for more than 1000000 values'),
    ('a.yaml', '0: &a0 [1]\n' + ''.join(f'{i + 1}: &a{i + 1} [*a{i}, *a{i}]\n' for i in range(20)),
     'its aliases .* stand for more than 1000000 values'),
    ('a.pkl', '', "expected a config, which is a .py file .or .yaml or .json., found .pkl"),
    ('a.py', 'version https://git-lfs.github.com/spec/v1\n', 'is a pointer of Git LFS')])
def test_configs_that_cannot_be_read(name, text, message, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match=rf'{name}.*{message}'):
        read_config(tmp_path / name)


def test_data_in_yaml_and_json_is_a_config(tmp_path):
    (tmp_path / 'a.yaml').write_text('model: {depth: 18, scales: [1, 2.5]}')
    assert read_config(tmp_path / 'a.yaml').model == dict(depth=18, scales=[1, 2.5])


@pytest.mark.parametrize('kind, text', [
    (whole_number(1), '0'), (whole_number(1), '-3'), (whole_number(1), '1.5'), (whole_number(1), 'x'),
    (whole_number(1), ''), (whole_number(1), '9' * 20), (whole_number(0, 5), '6'), (SEED, '-1'), (share, '0'),
    (share, '1.1'), (share, 'nan'), (share, 'x')])
def test_numbers_of_no_sense_on_the_command_line(kind, text):
    with pytest.raises(ArgumentTypeError, match=f'expected a .*, found {text!r}'):
        kind(text)


def test_a_wrong_number_is_one_line(capsys):
    parser = ArgumentParser()
    parser.add_argument('--sample', type=whole_number(1))
    assert parser.parse_args(['--sample', '3']).sample == 3
    with pytest.raises(SystemExit):
        parser.parse_args(['--sample', '-3'])
    assert capsys.readouterr().err.endswith("argument --sample: expected a whole number of at least 1, found '-3'\n")
