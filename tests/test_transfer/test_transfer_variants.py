"""What benchmarks/transfer.py pre-trains: every variant fits the configs as they are now."""
import argparse
import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from mmengine.config import Config, DictAction
from mmengine.registry import DefaultScope

from mmdet3d.registry import MODELS
from simipu.config_check import check_config
from simipu.evaluation.transfer import build_backbone

BENCHMARKS = Path(__file__).resolve().parents[2] / 'benchmarks'


@pytest.fixture
def benchmark(monkeypatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    spec = importlib.util.spec_from_file_location('transfer_of_benchmarks', BENCHMARKS / 'transfer.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def load(variant, *options: str) -> Config:
    """The config as tools/train.py reads it."""
    parser = argparse.ArgumentParser()
    parser.add_argument('--options', nargs='*', action=DictAction, default={})
    cfg = Config.fromfile(variant.config)
    cfg.merge_from_dict(parser.parse_args(['--options', *variant.options, *options]).options)
    check_config(cfg)
    return cfg


def test_all_variants_train_the_backbone_that_is_measured(benchmark):
    measured = build_backbone(Config.fromfile(benchmark.CONFIG)).state_dict()
    shapes = {name: value.shape for name, value in measured.items()}
    for name, variant in benchmark.VARIANTS.items():
        with DefaultScope.overwrite_default_scope('mmdet3d'):
            model = MODELS.build(load(variant).model)
        found = {key: value.shape for key, value in model.img_backbone.state_dict().items()}
        assert found == shapes, name
        assert (model.intra_head is None) == (name == 'SimIPU, no intra loss')
        assert (type(model).__name__ == 'OriginalProjectionSimIPU') == (name == 'original')


def test_the_control_differs_in_its_pairs_only(benchmark):
    ours, control = (load(benchmark.VARIANTS[name]).to_dict() for name in ('SimIPU', 'SimIPU, mispaired'))
    assert control['train_dataloader']['dataset'].pop('type') == 'MispairedDataset'
    assert ours['train_dataloader']['dataset'].pop('type') == 'PairedDataset'
    assert control == ours


def test_another_length_moves_the_end_of_the_schedule(benchmark):
    for variant in benchmark.VARIANTS.values():
        cfg = load(variant, *benchmark.length_options(variant.config, 77))
        assert cfg.train_cfg.max_iters == 77 and cfg.param_scheduler[-1].end == 77
        assert cfg.param_scheduler[0].end < 77


def test_ratios_come_from_the_report(benchmark, tmp_path):
    def task(*abs_rel):
        return dict(errors=[dict(abs_rel=value, rmse=1, rmse_log=1, delta1=1) for value in abs_rel])

    backbones = {name: dict(probe=task(0.4, 0.2)) for name in (*benchmark.VARIANTS, 'scratch')}
    backbones['SimIPU'].update(probe=task(0.2, 0.15), finetune=task(0.3))
    backbones['scratch'].update(finetune=task(0.6))
    (tmp_path / 'transfer.json').write_text(benchmark.json.dumps(dict(backbones=backbones)))
    ratios = benchmark.compare(tmp_path)
    assert ratios['probe']['SimIPU / SimIPU, mispaired'] == dict(
        seeds=pytest.approx([0.5, 0.75]), mean=pytest.approx(0.625), worst=pytest.approx(0.75))
    assert list(ratios['probe']) == [' / '.join(pair) for pair in benchmark.RATIOS]
    del backbones['original']  # was not asked for
    (tmp_path / 'transfer.json').write_text(benchmark.json.dumps(dict(backbones=backbones)))
    assert list(benchmark.compare(tmp_path)['probe']) == [' / '.join(pair) for pair in benchmark.RATIOS[:3]]
    assert list(ratios['finetune']) == ['SimIPU / scratch'] and 'finetune_long' not in ratios
