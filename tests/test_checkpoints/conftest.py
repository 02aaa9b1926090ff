"""Checkpoints that the tests of this folder read."""
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from mmdet.models import ResNet
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from torch import nn

import simipu  # noqa: F401  (lets torch.load open training checkpoints)

# what the Runner keeps in a checkpoint, and what says how the backbone was trained
MODEL_CONFIG = dict(
    type='SimIPU',
    img_backbone=dict(type='mmdet.ResNet', depth=18, style='pytorch', init_cfg=None),
    data_preprocessor=dict(
        type='PairedDataPreprocessor', mean=[103.53, 116.28, 123.675], std=[1.0, 1.0, 1.0],
        bgr_to_rgb=False))


class TinyPretraining(BaseModel):
    """An image backbone under SimIPU's name for it, with a loss; stands in for the whole model."""

    def __init__(self) -> None:
        super().__init__()
        self.img_backbone = ResNet(18, norm_eval=False)

    def forward(self, inputs, data_samples=None, mode='loss'):
        return dict(loss_intra=self.img_backbone(torch.stack(inputs))[-1].square().mean())


def _randomize(module: nn.Module) -> nn.Module:
    """Give every parameter and buffer a value that no initialisation gives; evaluation mode."""
    for value in module.state_dict().values():
        if value.is_floating_point():
            value.uniform_(0.5, 1.5) if value.ndim == 1 else nn.init.xavier_normal_(value)
        else:
            value.fill_(7)
    module.eval()
    return module


@pytest.fixture(scope='session')
def randomize() -> Callable[[nn.Module], nn.Module]:
    """The function above, for tests."""
    return _randomize


@pytest.fixture(scope='session')
def training_checkpoint(tmp_path_factory) -> Path:
    """A whole training checkpoint of MMEngine's Runner: weights, optimizer, message hub, config."""
    work_dir = tmp_path_factory.mktemp('work_dir')
    with DefaultScope.overwrite_default_scope('mmengine'):
        runner = Runner(
            model=TinyPretraining(), work_dir=str(work_dir),
            cfg=Config(dict(model=MODEL_CONFIG)), experiment_name='checkpoints',
            train_dataloader=dict(
                dataset=[dict(inputs=torch.rand(3, 32, 32))] * 4, batch_size=2, num_workers=0,
                sampler=dict(type='DefaultSampler', shuffle=False)),
            train_cfg=dict(by_epoch=False, max_iters=2),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01, momentum=0.9)),
            default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=2, by_epoch=False)))
        runner.train()
    return work_dir / 'iter_2.pth'
