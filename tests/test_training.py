"""SimIPU trained by MMEngine's Runner on a few generated frames, as tools/train.py does it."""
import os
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook

import simipu
from simipu.datasets.converters import create_kitti_infos
from simipu.engine import launch
from simipu.scenes import generate_dataset

CONFIG = Path(__file__).resolve().parents[1] / 'configs' / 'simipu_synthetic.py'


@pytest.fixture(scope='module')
def data_root(tmp_path_factory):
    root = tmp_path_factory.mktemp('frames')
    generate_dataset(root, num_frames=8, seed=0, image_size=(192, 64), num_workers=1,
                     val_fraction=0.5)
    create_kitti_infos(root, root, num_workers=1)
    return root


def load_config(data_root, work_dir, **options):
    """The shipped config with fewer, smaller frames."""
    args = Namespace(config=str(CONFIG), data_root=str(data_root), work_dir=str(work_dir),
                     launcher='none', local_rank=0, cfg_options={
                         'train_dataloader.batch_size': 2, 'train_dataloader.num_workers': 0,
                         'train_dataloader.persistent_workers': False,
                         'val_dataloader.batch_size': 2, 'val_dataloader.num_workers': 0,
                         'val_dataloader.persistent_workers': False,
                         'test_dataloader.num_workers': 0,
                         'test_dataloader.persistent_workers': False,
                         'train_cfg.max_iters': 8, 'train_cfg.val_interval': 100,
                         'default_hooks.logger.interval': 1, 'log_processor.window_size': 1,
                         'default_hooks.checkpoint.interval': 4, 'randomness': dict(seed=0),
                         'visualizer.vis_backends': [dict(type='LocalVisBackend')],
                         'model.point_encoder.num_points': (64, 32), **options})
    return launch.load_config(args)


class RecordLosses(Hook):
    """{iteration: (loss_intra, loss_inter of the last level)}."""

    def __init__(self):
        self.losses = {}

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.losses[runner.iter + 1] = (outputs['loss_intra'].item(), outputs['loss_inter_level1'].item())


def train(cfg, name):
    """The trained runner, and its losses."""
    cfg.experiment_name = f'{name}_{Path(cfg.work_dir).parent.name}'
    runner = launch.build_runner(cfg)
    record = RecordLosses()
    runner.register_hook(record)
    runner.train()
    return runner, record.losses


def test_four_iterations_and_four_resumed_are_eight_in_a_row(data_root, tmp_path, on_the_cpu):
    _, whole = train(load_config(data_root, tmp_path / 'whole'), 'whole')
    stopped = {'train_cfg.max_iters': 4}
    train(load_config(data_root, tmp_path / 'first', **stopped), 'first')
    cfg = load_config(data_root, tmp_path / 'second')
    launch.set_resume(cfg, str(tmp_path / 'first' / 'iter_4.pth'))
    _, second = train(cfg, 'second')
    assert sorted(second) == [5, 6, 7, 8]
    assert {step: whole[step] for step in second} == second
    for name in ('whole', 'first', 'second'):  # each wrote its losses into its own folder
        assert next((tmp_path / name).glob('*/vis_data/scalars.json')).stat().st_size


def test_amp_trains_with_losses_near_those_of_full_precision(data_root, tmp_path):
    steps = {'train_cfg.max_iters': 2}
    _, full = train(load_config(data_root, tmp_path / 'full', **steps), 'full')
    cfg = load_config(data_root, tmp_path / 'amp', **steps)
    launch.enable_amp(cfg)
    runner, amp = train(cfg, 'amp')
    assert all(parameter.isfinite().all() for parameter in runner.model.parameters())
    assert amp[1] == pytest.approx(full[1], rel=0.05) and amp != full


def test_nothing_visible_in_a_whole_batch_leaves_the_image_side_alone(data_root, tmp_path, monkeypatch):
    def behind_the_camera(points, *args, **kwargs):
        shape = (len(points), 1, points.shape[1])
        return points.new_zeros(*shape, 2), -points.new_ones(shape), points.new_zeros(shape) > 0

    monkeypatch.setattr('simipu.models.image_pretraining.project_to_cameras', behind_the_camera)
    cfg = load_config(data_root, tmp_path / 'blind', **{'train_cfg.max_iters': 2})
    runner = launch.build_runner(cfg)
    runner.model.init_weights()
    before = {name: value.clone() for name, value in runner.model.state_dict().items()}
    runner.model.init_weights = lambda: None
    runner.train()
    changed = {name for name, value in runner.model.state_dict().items()
               if not torch.equal(value, before[name])}
    # The forward pass has seen images and clouds all the same.
    statistics = {name for name in changed if name.endswith(
        ('running_mean', 'running_var', 'num_batches_tracked'))}
    assert any(name.startswith('img_backbone.') for name in statistics)
    # The intra-modal loss needs no camera.
    assert {name.split('.')[0] for name in changed - statistics} == {'point_encoder', 'intra_head'}
    log = next((tmp_path / 'blind').glob('*/*.log')).read_text()
    assert '2 such steps so far' in log and 'check the calibration' in log


def test_validation_reports_retrieval_and_depth(data_root, tmp_path):
    cfg = load_config(data_root, tmp_path / 'val')
    cfg.experiment_name = 'val'
    metrics = launch.build_runner(cfg).test()
    assert metrics['retrieval/pairs_per_frame'] > 10
    assert 0 <= metrics['retrieval/top1'] <= metrics['retrieval/top5'] <= 100
    assert 0 < metrics['depth_probe/abs_rel'] < 2


SECOND_PROCESS_IS_BLIND = '''
import importlib
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmdet3d.registry import HOOKS


def behind_the_camera(points, *args, **kwargs):
    shape = (len(points), 1, points.shape[1])
    return points.new_zeros(*shape, 2), -points.new_ones(shape), points.new_zeros(shape) > 0


def parameters(runner):
    return {name: value.detach().clone() for name, value in runner.model.module.named_parameters()}


@HOOKS.register_module()
class SecondProcessIsBlind(Hook):
    """Rank 1 sees no point in its images; each rank saves its parameters and pairs."""

    def before_train(self, runner):
        self.start, self.pairs = parameters(runner), []
        if get_rank() == 1:
            importlib.import_module('simipu.models.image_pretraining').project_to_cameras = behind_the_camera

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.pairs.append(outputs['pairs_inter'].item())

    def after_train(self, runner):
        torch.save(dict(start=self.start, end=parameters(runner), pairs=self.pairs),
                   f'{runner.work_dir}/rank{get_rank()}.pth')
'''


@pytest.mark.skipif(torch.cuda.is_available(), reason='about processes on CPU')
def test_two_processes_of_which_one_sees_no_point(data_root, tmp_path):
    (tmp_path / 'blind_hook.py').write_text(SECOND_PROCESS_IS_BLIND)
    cfg = load_config(data_root, tmp_path, **{'train_cfg.max_iters': 2})
    cfg.custom_imports.imports.append('blind_hook')
    cfg.custom_hooks.append(dict(type='SecondProcessIsBlind'))
    cfg.dump(tmp_path / 'config.py')
    path = os.pathsep.join([str(tmp_path), str(Path(simipu.__file__).parents[1])])
    done = subprocess.run(
        ['bash', str(CONFIG.parents[1] / 'tools' / 'dist_train.sh'), str(tmp_path / 'config.py'), '2'],
        env=dict(os.environ, PYTHONPATH=path, VIRTUAL_ENV=sys.prefix, PYTHONWARNINGS='ignore',
                 PATH=f'{sys.prefix}/bin:{os.environ["PATH"]}'),
        cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    first, second = (torch.load(tmp_path / f'rank{rank}.pth') for rank in (0, 1))
    assert min(first['pairs']) > 0 and second['pairs'] == [0, 0]
    for name, value in first['end'].items():
        assert value.isfinite().all() and torch.equal(value, second['end'][name]), name
        if value.ndim > 1:
            assert not torch.equal(value, first['start'][name]), f'{name} has not learned'
    log = done.stdout + done.stderr
    assert log.count('Iter(train) [1/2]') == 1 and 'such steps so far' not in log
