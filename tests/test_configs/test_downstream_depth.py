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
KITTI = 'depth_r50_simipu_kitti'
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


def train(monkeypatch, name, root, work_dir, *flags, options=()) -> dict:
    """Two steps; the errors of the validation after them."""
    call(monkeypatch, 'train.py', name, '--data-root', root, '--work-dir', work_dir, *flags, options=options)
    log = next(work_dir.glob('*/vis_data/scalars.json')).read_text().splitlines()
    errors = json.loads(log[-1])
    assert 0 < errors['abs_rel'] < 50 and 0 <= errors['d1'] <= 1
    return errors


@pytest.mark.filterwarnings('ignore')
def test_kitti_trains_and_its_checkpoint_is_measured(kitti, pretrained, tmp_path, monkeypatch):
    weights = f'model.backbone.init_cfg.checkpoint={pretrained("simipu_kitti.py")}'
    errors = train(monkeypatch, KITTI, kitti, tmp_path, options=[weights])
    call(monkeypatch, 'test.py', KITTI, tmp_path / 'iter_2.pth', '--data-root', kitti,
         '--work-dir', tmp_path / 'test', '--out', tmp_path / 'metrics.json')
    metrics = json.loads((tmp_path / 'metrics.json').read_text())
    assert metrics['abs_rel'] == pytest.approx(errors['abs_rel'], rel=1e-4)


@pytest.mark.filterwarnings('ignore')
def test_nyu_trains_in_mixed_precision(nyu, tmp_path, monkeypatch):
    train(monkeypatch, 'depth_r50_scratch_nyu', nyu, tmp_path, '--amp')
