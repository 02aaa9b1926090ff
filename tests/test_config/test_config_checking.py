"""The check of configs, on mistakes and on every config of mmdet3d."""
import re
from pathlib import Path

import mmdet3d
import pytest
from mmdet3d.utils import register_all_modules
from mmengine.config import Config, ConfigDict
from mmengine.registry import Registry

from simipu.config import accepted_arguments, check_config, check_typed_dict
from simipu.errors import ConfigError

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
WHEEL_CONFIGS = Path(mmdet3d.__file__).parent / '.mim' / 'configs'


@pytest.fixture(scope='module', autouse=True)
def registered():
    register_all_modules(init_default_scope=False)


def problems(**cfg):
    with pytest.raises(ConfigError) as info:
        check_config(Config(dict(default_scope='mmdet3d', **cfg)))
    return str(info.value)


def detector(**changes):
    cfg = ConfigDict(
        type='FCOSMono3D',
        backbone=dict(type='mmdet.ResNet', depth=18, norm_cfg=dict(type='BN', requires_grad=True),
                      init_cfg=dict(type='Pretrained', checkpoint='x.pth')),
        bbox_head=dict(type='FCOSMono3DHead', loss_cls=dict(type='mmdet.FocalLoss', gamma=2.0)),
        train_cfg=dict(code_weight=[1.0]))
    cfg.update(changes)
    return cfg


def test_a_right_config_passes():
    check_config(Config(dict(default_scope='mmdet3d', model=detector())))


def test_unknown_key_with_its_place():
    cfg = detector()
    cfg.bbox_head.loss_cls.gama = 3.0
    message = problems(model=cfg)
    assert message.startswith('model.bbox_head.loss_cls.gama: unknown key; FocalLoss takes use_sigmoid, gamma')
    assert message.endswith("; did you mean 'gamma'?")


def test_all_mistakes_at_once():
    cfg = detector(neckk=dict(type='mmdet.FPN'))
    cfg.backbone.typ = 1
    assert len(problems(model=cfg).splitlines()) == 2


@pytest.mark.parametrize('kind, suggestion', [
    ('mmdet.ResNext', "'mmdet.ResNeXt'"), ('ResNet', "'mmdet.ResNet'"), ('SimIPUU', "'SimIPU'")])
def test_unknown_type_names_the_closest(kind, suggestion):
    message = problems(model=detector(backbone=dict(type=kind)))
    assert message.startswith('model.backbone.type: no model or') and repr(kind) in message
    assert suggestion in message.partition('did you mean ')[2]


def test_type_that_is_no_name():
    assert 'model.backbone.type: expected the name' in problems(model=detector(backbone=dict(type=5)))


def test_transforms_datasets_samplers_and_optimizers():
    loader = dict(sampler=dict(type='DefaultSampler', shufle=True),
                  dataset=dict(type='PairedDataset', ann_fil='x', pipeline=[
                      dict(type='LoadPointsFromFile', coord_type='LIDAR', load_dims=4)]))
    message = problems(train_dataloader=loader, optim_wrapper=dict(
        type='OptimWrapper', optimizer=dict(type='SGD', lr=1.0, weight_dcay=0.1)))
    for mistake in ('train_dataloader.sampler.shufle', 'train_dataloader.dataset.ann_fil',
                    'train_dataloader.dataset.pipeline[0].load_dims', 'optim_wrapper.optimizer.weight_dcay'):
        assert f'{mistake}: unknown key' in message


class Base:
    def __init__(self, a, b=1):
        pass


class Passes(Base):
    def __init__(self, c, **kwargs):
        super().__init__(a=1, **kwargs)


class Takes(Base):
    def __init__(self, c, **kwargs):
        kwargs.pop('d')
        super().__init__(**kwargs)


class Inherits(Passes):
    pass


@pytest.mark.parametrize('kind, expected', [
    (Base, ['a', 'b']), (Passes, ['c', 'a', 'b']), (Inherits, ['c', 'a', 'b']), (Takes, None),
    (lambda x, y=1: x, ['x', 'y']), (lambda **kwargs: kwargs, None), (dict, None)])
def test_accepted_arguments(kind, expected):
    assert accepted_arguments(kind) == expected


@pytest.mark.parametrize('value', [5, None, dict(a=1)])
def test_a_part_that_is_no_typed_dict(value):
    with pytest.raises(ConfigError, match='here: expected a dict with `type`'):
        check_typed_dict(value, Registry('x', scope='mmdet3d'), 'here')


def test_no_false_alarm_on_the_configs_of_mmdet3d():
    """One per folder. The mistakes are mmdet3d's own: a missing transform, arguments of mmdet 2 and of KITTI."""
    alarms, checked = [], 0
    for folder in sorted(WHEEL_CONFIGS.iterdir()):
        for path in sorted(folder.glob('*.py'))[:1] if folder.name != '_base_' else []:
            checked += 1
            try:
                check_config(Config.fromfile(path))
            except ConfigError as error:
                alarms.append(f'{path.name}: {error}')
            except FileNotFoundError:  # a base that the wheel lacks
                checked -= 1
    assert checked > 25
    assert [alarm for alarm in alarms if not re.search('Collect3D|model.pretrained|IndoorMetric', alarm)] == []


@pytest.mark.parametrize('path', sorted(CONFIGS.glob('*.py')) + sorted(CONFIGS.glob('downstream/*.py')),
                         ids=lambda path: path.stem)
def test_our_own_configs_pass(path):
    if path.stem.startswith('depth'):
        pytest.importorskip('mmseg', reason='needs requirements/depth.txt')
    check_config(Config.fromfile(path))
