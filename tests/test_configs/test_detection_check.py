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
@pytest.mark.parametrize('variant', ['scratch', 'simipu'])
def test_a_training_step_and_its_score(variant, benchmark, backbone, data, tmp_path):
    job = benchmark.Job(variant, 0, 1e-3)
    result = benchmark.train(job, {0: backbone}, data, tmp_path, [
        'train_cfg.max_iters=1', 'train_cfg.val_interval=1', 'default_hooks.checkpoint.interval=1',
        'train_dataloader.batch_size=2', 'model.test_cfg.score_thr=0.0'])
    assert all(0 <= result.metrics[name] <= 1 for name in FINITE)
    trained = torch.load(next(tmp_path.rglob('iter_1.pth')))['state_dict']
    moved = [(trained[f'backbone.{name}'].float() - value.float()).abs().max()
             for name, value in read_state_dict(backbone).items() if name.endswith('conv1.weight')]
    # The first steps are shorter than the learning rate; random weights are elsewhere altogether.
    assert (0 < max(moved) < 2e-3) if variant == 'simipu' else min(moved) > 2e-3


def test_table_compares_each_variant_at_its_best_rate(benchmark):
    def result(variant, seed, rate, precision, error):
        metrics = dict.fromkeys(benchmark.METRICS, 0.0)
        return benchmark.Result(benchmark.Job(variant, seed, rate),
                                dict(metrics, mAP=precision, depth_abs_rel=error), 1.0)

    results = [result('scratch', 0, 1e-3, 0.1, 0.5), result('scratch', 1, 1e-3, 0.3, 0.3),
               result('scratch', 0, 3e-3, 0.1, 0.1), result('scratch', 1, 3e-3, 0.1, 0.1),
               result('simipu', 0, 1e-3, 0.0, 0.1), result('simipu', 1, 1e-3, 0.1, 0.1),
               result('simipu', 0, 3e-3, 0.4, 0.4), result('simipu', 1, 3e-3, 0.2, 0.2)]
    assert benchmark.best_rate(results, 'scratch') == 1e-3
    assert benchmark.best_rate(results, 'simipu') == 3e-3
    lines = benchmark.table(results).splitlines()
    assert lines[-4].split() == ['scratch', 'mean,', 'lr', '0.001', '0.200', '0.000', '0.000', '0.000',
                                 '0.400', '0.000']
    assert lines[-2:] == ['mAP: simipu better than scratch in 1 of 2 seeds',
                          'depth_abs_rel: simipu better than scratch in 2 of 2 seeds']
