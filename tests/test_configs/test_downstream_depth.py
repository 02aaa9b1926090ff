"""Monocular depth: the shipped configs train and are measured on small folders, by the tools."""
import itertools
import json
import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from simipu.datasets.converters import create_kitti_infos

pytest.importorskip('mmseg', reason='needs requirements/depth.txt')
PROJECT = Path(__file__).parents[2]
NUMBERS = itertools.count()


@pytest.fixture(scope='module')
def kitti(mmdet3d_kitti) -> Path:
    create_kitti_infos(mmdet3d_kitti, mmdet3d_kitti, splits=['train', 'val'])
    return mmdet3d_kitti


@pytest.fixture(scope='module')
def nyu(tmp_path_factory) -> Path:
    """Two frames of noise for training and one for testing, in mmsegmentation's layout."""
    root, rng = tmp_path_factory.mktemp('nyu'), np.random.default_rng(0)
    for split, number in (('train', 0), ('train', 1), ('test', 2)):
        for kind, suffix, picture in (
                ('images', 'jpg', rng.integers(0, 256, (96, 128, 3), dtype=np.uint8)),
                ('annotations', 'png', rng.integers(500, 9000, (96, 128), dtype=np.uint16))):
            (root / kind / split).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(root / kind / split / f'office_{number:04d}.{suffix}'), picture)
    return root


def call(monkeypatch, tool, name, *arguments, options=()):
    small = ['train_cfg.max_iters=2', 'train_cfg.val_interval=2', 'default_hooks.checkpoint.interval=2',
             'default_hooks.checkpoint.save_optimizer=False', 'train_dataloader.batch_size=2']
    run = f'depth{next(NUMBERS)}'  # MMEngine keeps loggers and visualizers by name
    small += [f'experiment_name={run}', f'visualizer.name={run}']
    small += [f'{loader}_dataloader.{key}' for loader in ('train', 'val', 'test')
              for key in ('num_workers=0', 'persistent_workers=False')]
    config = PROJECT / 'configs' / 'downstream' / f'{name}.py'
    monkeypatch.setattr(
        sys, 'argv', [tool, str(config), *map(str, arguments), '--cfg-options', *small, *options])
    runpy.run_path(str(PROJECT / 'tools' / tool), run_name='__main__')


@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('name, flags', [
    ('depth_r50_simipu_kitti', []), ('depth_r50_simipu_nyu', ['--amp'])])
def test_train_and_test(name, flags, request, pretrained, tmp_path, monkeypatch):
    root = request.getfixturevalue(name.rpartition('_')[2])
    weights = f'model.backbone.init_cfg.checkpoint={pretrained("simipu_kitti.py")}'
    call(monkeypatch, 'train.py', name, '--data-root', root, '--work-dir', tmp_path, *flags,
         options=[weights])
    log = [json.loads(line) for line in next(tmp_path.glob('*/vis_data/scalars.json')).open()]
    assert 0 < log[-1]['abs_rel'] < 50  # of the validation after the last step
    call(monkeypatch, 'test.py', name, tmp_path / 'iter_2.pth', '--data-root', root,
         '--work-dir', tmp_path / 'test', '--out', tmp_path / 'metrics.json')
    metrics = json.loads((tmp_path / 'metrics.json').read_text())
    assert metrics['abs_rel'] == pytest.approx(log[-1]['abs_rel'], rel=1e-4)
    assert 0 <= metrics['d1'] <= 1 and metrics['rmse'] > 0
