"""Weights that the tests of downstream configs load, and the benchmark of the ablations."""
import importlib.util
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from simipu.checkpoints import export_backbone

PROJECT = Path(__file__).resolve().parents[2]
CONFIGS = PROJECT / 'configs'


@pytest.fixture(scope='session')
def pretrained(tmp_path_factory) -> Callable[[str], Path]:
    """Exports the image backbone of a pre-training config, of values that no initialisation gives."""

    @cache
    def export(name: str) -> Path:
        cfg = Config.fromfile(CONFIGS / name)
        with DefaultScope.overwrite_default_scope('mmdet3d'):
            tensors = MODELS.build(cfg.model.img_backbone).state_dict()
        for value in tensors.values():
            value.add_(torch.rand_like(value) * 0.01 if value.is_floating_point() else 1)
        folder = tmp_path_factory.mktemp('weights')
        torch.save({'meta': {'cfg': cfg.pretty_text},
                    'state_dict': {f'img_backbone.{key}': value for key, value in tensors.items()}},
                   folder / 'simipu.pth')
        export_backbone(folder / 'simipu.pth', folder / 'backbone.pth')
        return folder / 'backbone.pth'

    return export


@pytest.fixture(scope='session')
def ablations() -> Iterator[ModuleType]:
    """benchmarks/ablations.py, which imports its neighbours."""
    file = PROJECT / 'benchmarks' / 'ablations.py'
    spec = importlib.util.spec_from_file_location('ablations_of_benchmarks', file)
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(file.parent))
        spec.loader.exec_module(module)
        yield module
