"""A small model with all that a resumed training has to restore, whose steps take as long as the config says."""
import time

import torch
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.registry import DATA_SAMPLERS, DATASETS, HOOKS, METRICS, MODELS, OPTIM_WRAPPER_CONSTRUCTORS
from torch import nn
from torch.utils.data import Dataset

from simipu import engine

for registry, names in [
        (HOOKS, ['DryRunHook', 'FiniteHook', 'ResumeHook', 'SkipEmptyBatchHook']),
        (DATA_SAMPLERS, ['ResumableSampler']),
        (OPTIM_WRAPPER_CONSTRUCTORS, ['HybridOptimWrapperConstructor'])]:
    for name in names:
        registry.register_module(module=getattr(engine, name))


@DATASETS.register_module()
class ToyData(Dataset):
    """Random numbers; those of sample ``bad_index`` are ``bad_value``."""

    def __init__(self, length=24, bad_index=None, bad_value=float('nan')):
        self.length, self.bad_index, self.bad_value = length, bad_index, bad_value

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        with engine.sample_seed(index):
            x = torch.rand(4) + index
        return dict(x=torch.full((4,), self.bad_value) if index == self.bad_index else x)


@MODELS.register_module()
class ToyModel(BaseModel):
    """Batch norm (buffers), dropout (random numbers), and weights of ``spare`` values that make checkpoints large."""

    def __init__(self, seconds=0.0, dropout=0.5, spare=0):
        super().__init__()
        self.seconds = seconds
        self.img_backbone = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8, momentum=0.1), nn.Dropout(dropout))
        self.point_encoder = nn.Linear(8, 1)
        self.spare = nn.Parameter(torch.zeros(spare), requires_grad=False)

    def forward(self, x, mode='loss'):
        time.sleep(self.seconds)
        y = self.point_encoder(self.img_backbone(x))
        return dict(loss=y.square().mean()) if mode == 'loss' else [dict(y=value) for value in y]


@METRICS.register_module()
class ToyMetric(BaseMetric):

    def process(self, data_batch, data_samples):
        self.results += [sample['y'].item() for sample in data_samples]

    def compute_metrics(self, results):
        return dict(mean=sum(results) / len(results))


@HOOKS.register_module()
class Spoil(Hook):
    """Writes ``value`` into a weight, or its gradient, in iteration ``at``."""

    def __init__(self, at, value, gradient=False):
        self.at, self.value, self.gradient = at, value, gradient

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter != self.at:
            return
        weight = runner.model.point_encoder.weight
        if self.gradient:
            weight.register_hook(lambda gradient: torch.full_like(gradient, self.value))
        else:
            weight.data[0, 0] = self.value
