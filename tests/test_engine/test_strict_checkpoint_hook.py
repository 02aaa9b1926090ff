"""A runner that must load a checkpoint whole: what it loads, converted or not, and what it refuses."""
import pytest
import torch
from mmdet3d.registry import MODELS
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from torch import nn

from simipu.engine import StrictCheckpointHook
from simipu.errors import CheckpointError


class TinyModel(BaseModel):
    """A layer with batch norm, and a sparse convolution as mmdet3d builds it."""

    def __init__(self, width: int = 2) -> None:
        super().__init__()
        self.linear = nn.Linear(2, width)
        self.norm = nn.BatchNorm1d(width)
        with DefaultScope.overwrite_default_scope('mmdet3d'):
            self.conv = MODELS.build(dict(type='SubMConv3d', in_channels=4, out_channels=8, kernel_size=3))

    def forward(self, *args, **kwargs):
        raise NotImplementedError


@pytest.fixture
def load(tmp_path):
    """Loads a state dict, written to a file, into a new model as ``tools/test.py`` does."""
    pytest.importorskip('spconv', reason='the sparse convolution needs spconv')

    def load(state_dict: dict) -> BaseModel:
        torch.save(dict(state_dict=state_dict), tmp_path / 'checkpoint.pth')
        with DefaultScope.overwrite_default_scope('mmengine'):
            runner = Runner(model=TinyModel(), work_dir=str(tmp_path), experiment_name=tmp_path.name)
        runner.register_hook(StrictCheckpointHook())
        runner.call_hook('before_run')
        runner.load_checkpoint(str(tmp_path / 'checkpoint.pth'))
        return runner.model.cpu()

    return load


def test_own_checkpoints_are_loaded(load):
    state_dict = TinyModel().state_dict()
    torch.testing.assert_close(load(state_dict).state_dict(), state_dict)


def test_kernels_that_mmcv_trained_are_loaded(load):
    """They have the output channels last, and mmdet3d turns them while loading."""
    model = TinyModel()
    kernel = model.conv.weight.detach()  # (8, 3, 3, 3, 4)
    state_dict = dict(model.state_dict())  # a plain dict, without the versions of its modules
    state_dict['conv.weight'] = kernel.permute(1, 2, 3, 4, 0)
    torch.testing.assert_close(load(state_dict).conv.weight.detach(), kernel)


def test_counters_that_old_files_lack_do_no_harm(load):
    state_dict = TinyModel().state_dict()
    del state_dict['norm.num_batches_tracked']
    load(state_dict)


def test_another_model_is_refused_in_few_lines(load):
    state_dict = TinyModel(width=3).state_dict()
    del state_dict['conv.weight']
    state_dict.update({f'extra_{number}': torch.ones(1) for number in range(200)})
    with pytest.raises(CheckpointError) as info:
        load(state_dict)
    lines = str(info.value).splitlines()
    assert lines[0].endswith('checkpoint.pth is of another model than the config describes; give the config it was '
                             'trained with')
    assert 'size mismatch for linear.weight' in lines[1] and len(lines) == 7 and lines[-1] == '  ...'
    assert all(len(line) < 200 for line in lines)


def test_a_file_that_cannot_be_read_keeps_its_error(load, tmp_path, monkeypatch):
    def cut_short(*args, **kwargs):
        raise RuntimeError('PytorchStreamReader failed reading zip archive')

    monkeypatch.setattr('mmengine.runner.runner._load_checkpoint', cut_short)
    with pytest.raises(RuntimeError, match='PytorchStreamReader'):
        load({})
