"""From flags to a config."""
import pytest
from mmengine.config import Config

from simipu.engine.launch import override, with_data_root
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


def test_config_without_data_root_is_an_error():
    with pytest.raises(ConfigError, match='has no data_root'):
        with_data_root(Config(dict(model=dict())), 'x')


def test_values_are_set_by_dotted_names():
    cfg = Config(dict(model=dict(depth=50, heads=[dict(a=1), dict(a=1)])))
    override(cfg, {'model.depth': 18, 'model.heads.1.a': 2, 'model.new': 'x'})
    assert cfg.model == dict(depth=18, heads=[dict(a=1), dict(a=2)], new='x')


@pytest.mark.parametrize('name', ['model.heads.a', 'model.heads.2.a'])
def test_a_name_that_leads_astray_in_a_list_is_told(name):
    cfg = Config(dict(model=dict(heads=[dict(a=1), dict(a=1)])))
    with pytest.raises(ConfigError, match=f'--cfg-options {name}: .*the number of the element follows it'):
        override(cfg, {name: 2})
