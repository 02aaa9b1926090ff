"""What the name of a pre-training config says, and its header, is what it does."""
import re
from pathlib import Path

import pytest
from mmengine.config import Config

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
SHORT_NAMES = {'simipu_kitti.py': 'simipu_r50_8xb4-100e_kitti.py',
               'simipu_own_drive.py': 'simipu_r50_8xb4-100e_own-drive.py',
               'simipu_synthetic.py': 'simipu_r18_1xb4-500iters_synthetic.py'}
RECIPES = sorted(path for folder in ('', 'backbones', 'ablations') for path in (CONFIGS / folder).glob('*.py')
                 if path.name not in SHORT_NAMES)
# simipu_MODEL_GPUSxbFRAMES-SCHEDULE_DATA.py
NAME = re.compile(r'simipu_(?P<model>[a-z0-9-]+)_(?P<gpus>\d+)xb(?P<frames>\d+)-(?P<length>\d+)'
                  r'(?P<unit>e|iters)_(?P<data>[a-z-]+)')


@pytest.mark.parametrize('path', RECIPES, ids=lambda path: path.stem)
def test_a_name_tells_model_batch_size_and_length(path):
    name = NAME.fullmatch(path.stem)
    assert name, 'not a name as OpenMMLab has them'
    cfg = Config.fromfile(path, import_custom_modules=False)  # mmpretrain is optional
    frames, batch_size = int(name['frames']), int(name['gpus']) * int(name['frames'])
    assert cfg.train_dataloader.batch_size == frames
    assert cfg.auto_scale_lr.base_batch_size == batch_size
    assert cfg.train_cfg['max_epochs' if name['unit'] == 'e' else 'max_iters'] == int(name['length'])
    if name['model'].startswith('r') and path.parent.name != 'ablations':
        assert f'r{cfg.model.img_backbone.depth}' == name['model'].split('-')[0]
    assert cfg.optim_wrapper.type == 'OptimWrapper', 'float32, as the header says'
    header = re.search(r'# Batch size (\d+) \((\d+) \w+ x (\d+) frames\), float32', path.read_text())
    if path.parent.name != 'ablations' or 'reference' in path.stem:  # a row's is its reference's
        assert header, 'the header gives batch size and precision'
        assert tuple(map(int, header.groups())) == (batch_size, int(name['gpus']), frames)


@pytest.mark.parametrize('short, name', SHORT_NAMES.items())
def test_a_short_name_is_the_same_recipe(short, name):
    assert Config.fromfile(CONFIGS / short).to_dict() == Config.fromfile(CONFIGS / name).to_dict()


def test_a_file_is_one_experiment():
    """Work dirs go by a file's name; nothing outside of it may choose what it is."""
    stems = [path.stem for path in CONFIGS.rglob('*.py') if '_base_' not in path.parts]
    assert len(set(stems)) == len(stems)
    assert not [path for path in CONFIGS.rglob('*.py') if '{{' in path.read_text()]
