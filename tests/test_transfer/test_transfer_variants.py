"""What benchmarks/transfer.py pre-trains: every variant fits the configs as they are now."""
import argparse
import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import torch
from mmdet3d.registry import MODELS
from mmengine.config import Config, DictAction
from mmengine.registry import DefaultScope

from simipu.config import check_config
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
        assert (model.intra_head is None) == (name == 'no-intra')
        if name == 'no-intra':
            assert [head.detach_key for head in model.inter_heads] == [None, None]
        assert (type(model).__name__ == 'OriginalProjectionSimIPU') == (name == 'original')


def test_the_control_differs_in_its_pairs_only(benchmark):
    ours, control = (load(benchmark.VARIANTS[name]).to_dict() for name in ('SimIPU', 'mispaired'))
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
    assert ratios['probe']['SimIPU / mispaired'] == dict(
        seeds=pytest.approx([0.5, 0.75]), mean=pytest.approx(0.625), worst=pytest.approx(0.75))
    assert list(ratios['probe']) == [' / '.join(pair) for pair in benchmark.RATIOS]
    del backbones['original']  # was not asked for
    (tmp_path / 'transfer.json').write_text(benchmark.json.dumps(dict(backbones=backbones)))
    assert list(benchmark.compare(tmp_path)['probe']) == [' / '.join(pair) for pair in benchmark.RATIOS[:3]]
    assert list(ratios['finetune']) == ['SimIPU / scratch'] and 'finetune_long' not in ratios


def test_a_folder_keeps_what_was_made_with_equal_settings_only(benchmark, tmp_path):
    folder = tmp_path / 'SimIPU_seed0'
    benchmark.check_made_with(folder, 'lr = 1')
    benchmark.check_made_with(folder, 'lr = 1')
    with pytest.raises(SystemExit, match='SimIPU_seed0 was made with other settings'):
        benchmark.check_made_with(folder, 'lr = 2')
    assert (folder / 'made_with.txt').read_text() == 'lr = 1'
    (folder / 'made_with.txt').rename(folder / 'backbone.pth')
    with pytest.raises(SystemExit, match='SimIPU_seed0 was made with unknown settings'):
        benchmark.check_made_with(folder, 'lr = 1')


def test_pretraining_is_called_once_and_tells_why_it_failed(benchmark, monkeypatch, tmp_path):
    """The training itself is replaced by one that leaves what tools/train.py leaves."""
    calls = []

    def train(command, stdout, **_):
        calls.append(command)
        stdout.write('starting\nerror: no data\n')
        (folder / 'last_checkpoint').write_text(str(tmp_path / 'iter_5.pth'))
        return argparse.Namespace(returncode=len(calls) - 1)  # the second fails

    backbone = build_backbone(Config.fromfile(benchmark.CONFIG))
    torch.save(dict(state_dict={f'img_backbone.{name}': value
                                for name, value in backbone.state_dict().items()}), tmp_path / 'iter_5.pth')
    monkeypatch.setattr(benchmark.subprocess, 'run', train)
    variant, folder = benchmark.VARIANTS['mispaired'], tmp_path / 'seed0'
    exported = benchmark.pretrain(folder, tmp_path, variant, 0, 5)
    assert benchmark.pretrain(folder, tmp_path, variant, 0, 5) == exported and len(calls) == 1
    assert {'randomness.seed=0', 'train_cfg.max_iters=5', *variant.options} <= set(calls[0])
    build_backbone(Config.fromfile(benchmark.CONFIG), str(exported))
    with pytest.raises(SystemExit, match='other settings'):
        benchmark.pretrain(folder, tmp_path, variant, 0, 6)
    folder = tmp_path / 'seed1'
    with pytest.raises(SystemExit, match='pre-training of seed1 failed: error: no data'):
        benchmark.pretrain(folder, tmp_path, variant, 1, 5)


@pytest.mark.parametrize('long', [False, True])
def test_what_is_measured(benchmark, monkeypatch, tmp_path, long):
    asked = []
    monkeypatch.setattr(benchmark, 'measure_all', lambda cfg, *arguments: asked.append(arguments))
    monkeypatch.setattr(benchmark, 'split_frames', lambda *_: None)
    monkeypatch.setattr(benchmark, 'write_report', lambda *_: 'table')
    args = argparse.Namespace(seeds=4, num_workers=2, long=long)
    assert benchmark.measure(tmp_path, {'SimIPU': ['a.pth'], 'mispaired': ['b.pth']}, args) == 'table'
    (backbones, settings, _, finetuned, finetuned_long), = asked
    assert list(backbones) == ['scratch', 'SimIPU', 'mispaired'] and settings.num_seeds == 4
    assert finetuned == ['scratch', 'SimIPU'] and list(finetuned_long) == (finetuned if long else [])
