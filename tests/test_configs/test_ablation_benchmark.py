"""The rows that benchmarks/ablations.py trains, as configs."""
import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from mmdet3d.registry import MODELS
from mmengine.registry import DefaultScope
from mmengine.utils import import_modules_from_strings

from simipu.config import check_config

BENCHMARKS = Path(__file__).resolve().parents[2] / 'benchmarks'


@pytest.fixture
def benchmark(monkeypatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setenv('SIMIPU_ABLATION', 'kitti')  # which load_config changes
    spec = importlib.util.spec_from_file_location('ablations_of_benchmarks', BENCHMARKS / 'ablations.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_row_has_one_backbone_size_and_length(benchmark, tmp_path):
    shapes = {}
    for row in benchmark.ROWS:
        cfg = benchmark.load_config(row, tmp_path, iterations=77, seed=5)
        import_modules_from_strings(**cfg.custom_imports)  # as a config file that is read does
        check_config(cfg)
        assert cfg.train_cfg.max_iters == cfg.param_scheduler[-1].end == 77 and cfg.randomness.seed == 5
        assert all(loader.dataset.data_root == f'{tmp_path}/'
                   for loader in (cfg.train_dataloader, cfg.val_dataloader))
        assert [step.scale for step in cfg.val_dataloader.dataset.pipeline if step.type == 'ResizeImages'] == [
            (288, 96)]
        with DefaultScope.overwrite_default_scope('mmdet3d'):
            model = MODELS.build(cfg.model)
        shapes[row] = {name: value.shape for name, value in model.img_backbone.state_dict().items()}
        assert (model.intra_head is None) == (row == benchmark.NO_INTRA)
        assert (type(model).__name__ == 'OriginalProjectionSimIPU') == (row == 'original')
    assert all(found == shapes['reference'] for found in shapes.values())


def test_without_the_intra_loss_nothing_else_changes(benchmark, tmp_path):
    ours, without = (benchmark.load_config(row, tmp_path, iterations=77, seed=0).to_dict()
                     for row in ('recommended', benchmark.NO_INTRA))
    for key in ('intra_head', 'matcher'):
        assert ours['model'].pop(key) and without['model'].pop(key) is None
    assert [head.pop('detach_key', None) for head in without['model']['inter_head']] == [None, None]
    assert ours == without
