"""The small detector for generated scenes, and the benchmark that compares backbones by it."""
import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmdet3d.registry import MODELS
from mmengine.config import Config
from mmengine.registry import DefaultScope

from simipu.checkpoints import export_backbone, read_state_dict, verify_pretrained

PROJECT = Path(__file__).parents[2]
CONFIGS = PROJECT / 'configs' / 'downstream'
CONFIG = CONFIGS / 'fcos3d_r18_simipu_synthetic.py'
FINITE = ('mAP', 'AP@0.5', 'AP@1', 'AP@2', 'AP@4', 'in_sight')


@pytest.fixture(scope='module')
def benchmark():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(PROJECT / 'benchmarks'))
        return SimpleNamespace(**runpy.run_path(str(PROJECT / 'benchmarks' / 'detection.py')))


@pytest.fixture(scope='module')
def backbone(tmp_path_factory):
    """Exported from a SimIPU state dict of the synthetic recipe."""
    folder = tmp_path_factory.mktemp('weights')
    pretraining = Config.fromfile(PROJECT / 'configs' / 'simipu_synthetic.py')
    with DefaultScope.overwrite_default_scope('mmdet3d'):
        model = MODELS.build(pretraining.model.img_backbone)
    torch.save({'meta': {'cfg': pretraining.pretty_text}, 'state_dict': {
        f'img_backbone.{key}': value for key, value in model.state_dict().items()}}, folder / 'simipu.pth')
    export_backbone(folder / 'simipu.pth', folder / 'backbone.pth')
    return folder / 'backbone.pth'


@pytest.fixture(scope='module')
def data(benchmark, tmp_path_factory):
    """Two labelled frames and one to score."""
    root = tmp_path_factory.mktemp('scenes') / 'data'
    benchmark.make_data(root, labelled=2, scored=1)
    return root


def test_every_tensor_of_the_backbone_is_loaded(backbone):
    report = verify_pretrained(CONFIG, backbone)
    assert report.ok and len(report.loaded) == len(read_state_dict(backbone))
    assert not report.unexpected and not report.warnings


def test_the_whole_backbone_trains():
    model = Config.fromfile(CONFIG).model
    model.backbone.init_cfg = None
    with DefaultScope.overwrite_default_scope('mmdet3d'):
        detector = MODELS.build(model)
    detector.train()
    assert all(parameter.requires_grad for parameter in detector.parameters())
    norms = [module for module in detector.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert len(norms) == 15 and all(norm.training for norm in norms)


def test_scratch_twin_differs_only_in_the_initialisation():
    scratch = Config.fromfile(CONFIGS / 'fcos3d_r18_scratch_synthetic.py').to_dict()
    pretrained = Config.fromfile(CONFIG).to_dict()
    assert pretrained['model']['backbone'].pop('init_cfg')['type'] == 'Pretrained'
    assert scratch['model']['backbone'].pop('init_cfg') == []
    assert scratch == pretrained


@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('pretrained', [False, True])
def test_a_training_step_and_its_score(pretrained, benchmark, backbone, data, tmp_path):
    job = benchmark.Job('ours', 0, 2, 1e-3)
    left_behind = tmp_path / 'ours_seed0_2_scenes_lr_0.001' / 'iter_1.pth'  # by a training that was killed
    left_behind.parent.mkdir()
    left_behind.write_bytes(b'')
    figures = benchmark.train(job, backbone if pretrained else None, data, tmp_path, [
        'train_cfg.max_iters=1', 'train_cfg.val_interval=1', 'default_hooks.checkpoint.interval=1',
        'train_dataloader.batch_size=2', 'model.test_cfg.score_thr=0.0'])
    assert all(0 <= figures[name] <= 1 for name in FINITE) and figures['seconds'] > 0
    trained = torch.load(left_behind)['state_dict']
    moved = [(trained[f'backbone.{name}'].float() - value.float()).abs().max()
             for name, value in read_state_dict(backbone).items() if name.endswith('conv1.weight')]
    # The first steps are shorter than the learning rate; random weights are elsewhere altogether.
    assert (0 < max(moved) < 2e-3) if pretrained else min(moved) > 2e-3


def test_trainings_that_are_there_are_kept(benchmark, monkeypatch, tmp_path):
    trained = []

    def train(job, checkpoint, *_):
        trained.append((job, checkpoint))
        return dict(mAP=0.5)

    monkeypatch.setitem(benchmark.work.__globals__, 'train', train)
    files = [tmp_path / 'a.pth', tmp_path / 'b.pth']
    for file in files:
        file.write_text(file.name)
    checkpoints = dict(scratch=None, ours=files)
    for variants in ([(64, 5e-3)], [(64, 5e-3), (128, 5e-3)]):
        for name, seed in (('scratch', 0), ('ours', 1), ('ours', 2)):
            benchmark.work(checkpoints, variants, tmp_path / 'out', name, seed)
    assert [(job.task, checkpoint and checkpoint.name) for job, checkpoint in trained] == [
        (f'{labelled} scenes, lr 0.005', file) for labelled in (64, 128) for file in (None, 'b.pth', 'a.pth')]
    table = benchmark.measured(tmp_path / 'out').table(checkpoints)
    assert list(table) == ['scratch', 'ours'] and list(table['ours']) == [1, 2]
    assert table['ours'][2]['128 scenes, lr 0.005'] == dict(mAP=0.5)
