"""From flags to a config."""
from argparse import ArgumentParser

import pytest
from mmengine.config import Config

from simipu.engine.launch import (
    _pin_memory,
    add_common_arguments,
    build_runner,
    enable_auto_scale_lr,
    load_config,
    set_resume,
    with_data_root,
)
from simipu.errors import ConfigError


def test_data_root_is_replaced_wherever_it_stands_and_nowhere_else():
    cfg = Config(dict(data_root='data/kitti/', train_dataloader=dict(dataset=dict(
        data_root='data/kitti/', ann_file='infos.pkl', data_prefix=dict(img='training/image_2'))),
        val_evaluator=[dict(ann_file='data/kitti/infos_val.pkl')], other=('data/kitti_raw/', 3)))
    moved = with_data_root(cfg, '/disk/kitti')
    assert moved.data_root == moved.train_dataloader.dataset.data_root == '/disk/kitti/'
    assert moved.train_dataloader.dataset.ann_file == 'infos.pkl'
    assert moved.val_evaluator[0].ann_file == '/disk/kitti/infos_val.pkl'
    assert moved.other == ('data/kitti_raw/', 3)
    assert cfg.data_root == 'data/kitti/', 'the given config must stay as it is'


def data_sets(*roots):
    names = ('train', 'val')
    return {f'{name}_dataloader': dict(dataset=dict(data_root=root)) for name, root in zip(names, roots, strict=True)}


def test_data_sets_that_did_not_follow_a_new_data_root_are_found():
    """As in a config that sets ``data_root`` anew, after the lines of its base have used it."""
    moved = with_data_root(Config(dict(data_root='mine', **data_sets('data/kitti/', 'data/kitti/'))), '/disk')
    assert moved.train_dataloader.dataset.data_root == moved.val_dataloader.dataset.data_root == '/disk/'


def test_data_sets_of_several_roots_are_an_error():
    with pytest.raises(ConfigError, match='the data sets have a, b; set the data_root of each'):
        with_data_root(Config(dict(data_root='mine', **data_sets('a/', 'b/'))), '/disk')


def test_a_loader_without_workers_takes_none_of_their_settings():
    parser = ArgumentParser()
    add_common_arguments(parser)
    cfg = load_config(parser.parse_args(['configs/simipu_kitti.py', '--cfg-options', 'num_workers=0']))
    assert cfg.train_dataloader.num_workers == 0 and 'persistent_workers' not in cfg.train_dataloader
    cfg = load_config(parser.parse_args(['configs/simipu_kitti.py']))
    assert cfg.train_dataloader.num_workers and cfg.train_dataloader.persistent_workers


@pytest.mark.parametrize('value', ["dict(type='DepthRegressionHead',in_channels=256)", '{}'])
def test_a_dict_on_the_command_line_is_told_how_to_give_it(value, capsys):
    parser = ArgumentParser()
    add_common_arguments(parser)
    with pytest.raises(SystemExit):
        parser.parse_args(['configs/simipu_kitti.py', '--cfg-options', f'model.depth_head={value}'])
    assert 'given by its keys, one by one, such as model.depth_head.type=NAME' in capsys.readouterr().err
    cfg = load_config(parser.parse_args([
        'configs/simipu_kitti.py', '--cfg-options', 'model.depth_head.type=DepthRegressionHead',
        'model.depth_head.in_channels=9']))
    assert cfg.model.depth_head == dict(type='DepthRegressionHead', in_channels=9)


def test_scaling_a_learning_rate_that_is_made_for_no_batch_size_is_an_error():
    for options in ({}, dict(auto_scale_lr=None), dict(auto_scale_lr=dict(enable=False))):
        with pytest.raises(ConfigError, match='has no auto_scale_lr.base_batch_size'):
            enable_auto_scale_lr(Config(options))


def test_config_without_data_root_is_an_error():
    with pytest.raises(ConfigError, match='has no data_root'):
        with_data_root(Config(dict(model=dict())), 'x')


@pytest.mark.parametrize('rank, lines', [('0', 1), ('1', 0)])
def test_one_process_alone_says_where_a_training_goes_on(rank, lines, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv('RANK', rank)
    set_resume(Config(dict(work_dir=str(tmp_path), launcher='pytorch')), 'auto')
    assert len(capsys.readouterr().out.splitlines()) == lines


@pytest.mark.parametrize('launcher, remedy', [('pytorch', 'dist_train.sh'), ('slurm', 'slurm_train.sh')])
def test_a_launcher_that_did_not_start_the_process_is_told(launcher, remedy, monkeypatch):
    for variable in ('RANK', 'SLURM_PROCID'):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(ConfigError, match=f'--launcher {launcher}: .*{remedy}'):
        build_runner(Config(dict(launcher=launcher)))


def test_loaders_pin_memory_for_a_gpu_unless_the_config_says_otherwise():
    cfg = Config(dict(train_dataloader=dict(num_workers=1), val_dataloader=dict(num_workers=1, pin_memory=False),
                      test_dataloader=None))
    _pin_memory(cfg)
    assert cfg.train_dataloader.pin_memory is True
    assert cfg.val_dataloader.pin_memory is False
