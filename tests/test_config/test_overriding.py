"""Overrides from the command line: they reach what is built, or are errors that name what does."""
from argparse import ArgumentParser
from pathlib import Path

import pytest

from simipu.config import OverrideAction, check_config, read_config, read_with_overrides
from simipu.config.overriding import idle_variables
from simipu.errors import ConfigError

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
SMALL, KITTI = CONFIGS / 'simipu_synthetic.py', CONFIGS / 'simipu_kitti.py'


def step(cfg, kind, split='train'):
    return next(item for item in cfg[f'{split}_dataloader'].dataset.pipeline if item.type == kind)


def test_a_variable_of_the_config_changes_all_that_is_made_from_it():
    cfg = read_with_overrides(SMALL, {'max_iters': 60, 'num_points': 99})
    assert cfg.train_cfg.max_iters == cfg.param_scheduler[1].end == 60
    assert [step(cfg, 'SamplePoints', split).num_points for split in ('train', 'val', 'test')] == [99] * 3


def test_two_iterations_leave_a_schedule_that_can_be_built():
    first, second = read_with_overrides(SMALL, {'max_iters': 2}).param_scheduler
    assert 0 < first.end == second.begin < second.end == 2


def test_a_variable_of_a_base_changes_it_there():
    cfg = read_with_overrides(KITTI, {'num_points': 99, 'point_cloud_range': [0, 0, 0, 1, 1, 1]})
    assert step(cfg, 'SamplePoints').num_points == 99
    assert step(cfg, 'PairedPointsRangeFilter', 'val').point_cloud_range == [0, 0, 0, 1, 1, 1]


def test_a_part_of_a_variable():
    cfg = read_with_overrides(KITTI, {'train_pipeline.3.scale': (640, 192)})
    assert step(cfg, 'ResizeImages').scale == (640, 192)
    assert step(cfg, 'ResizeImages', 'val').scale != (640, 192)


def test_short_names():
    cfg = read_with_overrides(KITTI, dict(seed=5, max_epochs=3, batch_size=2, num_workers=0))
    assert cfg.randomness.seed == 5 and cfg.train_cfg.max_epochs == 3
    assert (cfg.train_dataloader.batch_size, cfg.train_dataloader.num_workers) == (2, 0)


def test_values_are_set_by_dotted_names():
    cfg = read_with_overrides(SMALL, {'model.img_backbone.depth': 34, 'model.inter_head.1.loss.temperature': 0.1})
    assert cfg.model.img_backbone.depth == 34
    assert [head.loss.temperature for head in cfg.model.inter_head] == [0.2, 0.1]


def test_the_value_that_it_has_already_is_no_error():
    assert read_with_overrides(SMALL, dict(max_iters=500)).train_cfg.max_iters == 500


@pytest.mark.parametrize('config, name, value, expected', [
    (KITTI, 'optim_wraper.optimizer.default.lr', 1, 'optim_wrapper.optimizer.default.lr'),
    (KITTI, 'lr', 1, 'optim_wrapper.optimizer.point_encoder.lr'),
    (KITTI, 'temperature', 1, 'model.inter_head.loss.temperature'),
    (KITTI, 'num_point', 1, 'num_points'),
    (KITTI, 'max_iter', 1, 'max_iters'),
    (KITTI, 'custom_hook', [], 'custom_hooks'),
    (KITTI, 'launcher', 'ssh', 'by --launcher'),
    (KITTI, 'custom_imports.imports', ['mine'], 'name them in the file'),
    (SMALL, 'model.inter_head.detach_key', None, 'the number of the element follows it'),
    (SMALL, 'model.inter_head.2.detach_key', None, 'the number of the element follows it')])
def test_a_name_that_sets_nothing_is_an_error_that_names_what_does(config, name, value, expected):
    with pytest.raises(ConfigError, match=f'--cfg-options {name}: ') as info:
        read_with_overrides(config, {name: value})
    assert expected in str(info.value)


def test_a_variable_that_nothing_is_built_from_is_an_error(tmp_path):
    """As in a config that a training has dumped, in which no line uses the variable any more."""
    path = tmp_path / 'dumped.py'
    path.write_text("num_points = 5\ntrain_dataloader = dict(dataset=dict(pipeline=[dict(num_points=5)]))\n")
    with pytest.raises(ConfigError, match='nothing is built') as info:
        read_with_overrides(path, dict(num_points=6))
    assert 'train_dataloader.dataset.pipeline.0.num_points' in str(info.value)


def test_a_value_with_which_the_config_cannot_be_evaluated(tmp_path):
    with pytest.raises(ConfigError, match='--cfg-options max_iters=many: the config cannot be evaluated'):
        read_with_overrides(SMALL, dict(max_iters='many'))


def test_a_short_name_for_which_the_config_has_no_place(tmp_path):
    path = tmp_path / 'empty.py'
    path.write_text("model = dict(type='SimIPU')\n")
    with pytest.raises(ConfigError, match='stands for train_cfg.max_epochs, but the config has no train_cfg'):
        read_with_overrides(path, dict(max_epochs=6))


@pytest.mark.parametrize('options, message', [
    ({'max_epochs': 'many'}, r"train_cfg.max_epochs: expected .*, found 'many'"),
    ({'batch_size': 0}, 'train_dataloader.batch_size: expected a whole number of at least 1, found 0'),
    ({'num_workers': -1}, 'train_dataloader.num_workers: expected a whole number of at least 0, found -1'),
    ({'seed': 'x'}, "randomness.seed: expected a whole number of at least 0, found 'x'"),
    ({'train_dataloader.batchsize': 2}, 'train_dataloader.batchsize: unknown key'),
    ({'env_cfg.cudnn': True}, 'env_cfg.cudnn: unknown key; expected some of cudnn_benchmark'),
    ({'default_hooks.logger.intervall': 2}, 'default_hooks.logger.intervall: unknown key'),
    ({'default_hooks.checkpoint.interval': 'x'}, "default_hooks.checkpoint.interval: expected int, found 'x'"),
    ({'param_scheduler.gama': 0.9}, 'param_scheduler.gama: unknown key'),
    ({'val_evaluator.0.gallery': 2}, r'val_evaluator\[0\].gallery: unknown key'),
    ({'val_evaluator.0.type': 'Retrieval'}, r"val_evaluator\[0\].type: no evaluator or metric is called 'Retrieval'"),
    ({'train_cfg.type': 'EpochLoop'}, "train_cfg.type: no loop is called 'EpochLoop'"),
    ({'train_pipeline.5.num_points': 'x'}, r"pipeline\[5\].num_points: expected int, found 'x'"),
    ({'optim_wrapper.optimizer.default.lr': 'x'}, "optimizer.default.lr: expected float | torch.Tensor, found 'x'"),
])
def test_what_the_runner_builds_is_checked_by_name_and_type(options, message):
    cfg = read_with_overrides(KITTI, options)
    with pytest.raises(ConfigError, match=message):
        check_config(cfg)


@pytest.mark.parametrize('wrong, right', [('optim_wraper', 'optim_wrapper'), ('custom_hook', 'custom_hooks'),
                                          ('param_schedulers', 'param_scheduler'), ('val_evaluators', 'val_evaluator')])
def test_misspelt_keys_of_a_config_file(wrong, right):
    cfg = read_with_overrides(KITTI, {})
    cfg[wrong] = cfg.pop(right)
    with pytest.raises(ConfigError, match=f'{wrong}: the Runner reads no such key.*did you mean {right}'):
        check_config(cfg)


def test_a_variable_of_a_base_that_a_config_sets_to_no_effect_is_told(tmp_path):
    path = tmp_path / 'mine.py'
    path.write_text(f"_base_ = '{SMALL}'\nmax_iters = 40\nnum_points = 512\n"
                    "train_dataloader = dict(batch_size=num_points // 256)\n")
    problem, = idle_variables(read_config(path))
    assert 'sets max_iters, which none of its lines uses' in problem and 'train_cfg.max_iters' in problem


@pytest.mark.parametrize('path', sorted(CONFIGS.glob('*.py')), ids=lambda path: path.stem)
def test_no_variable_of_our_own_configs_is_without_effect(path):
    assert not list(idle_variables(read_config(path)))


def test_a_dict_where_the_base_has_a_list_is_one_message(tmp_path):
    path = tmp_path / 'mine.py'
    path.write_text(f"_base_ = '{KITTI}'\nmodel = dict(img_backbone=dict(init_cfg=dict(type='Pretrained')))\n")
    with pytest.raises(ConfigError, match='mine.py: init_cfg.*_delete_=True'):
        read_config(path)


@pytest.mark.parametrize('words', [['seed'], ['a=1', 'batch_size'], ['batch_size', '=', '2'], ['a=[1,2']])
def test_words_that_are_no_overrides_end_with_one_line(words, capsys):
    parser = ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=OverrideAction)
    with pytest.raises(SystemExit) as info:
        parser.parse_args(['--cfg-options', *words])
    assert info.value.code == 2 and 'error: --cfg-options ' in capsys.readouterr().err.splitlines()[-1]
