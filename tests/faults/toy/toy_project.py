"""A small model with all that a resumed training has to restore, whose steps take as long as the config says."""
import json
import os
import time
from pathlib import Path

import torch
import torch.distributed as dist
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
    """Random numbers; those of the samples ``bad`` are all ``bad_value``, and sample ``missing`` is an error."""

    def __init__(self, length=24, bad=(), bad_value=float('nan'), missing=None):
        self.length, self.bad, self.bad_value, self.missing = length, bad, bad_value, missing

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        if index == self.missing:
            raise FileNotFoundError(f'sample {index}')
        with engine.sample_seed(index):
            x = torch.rand(4) + index
        return dict(x=torch.full((4,), self.bad_value) if index in self.bad else x, record=int(index))


@MODELS.register_module()
class ToyModel(BaseModel):
    """Batch norm (buffers), dropout (random numbers), and weights of ``spare`` values that make checkpoints large."""

    def __init__(self, seconds=0.0, dropout=0.5, norm=True, spare=0):
        super().__init__()
        self.seconds = seconds
        self.img_backbone = nn.Sequential(
            nn.Linear(4, 8), nn.BatchNorm1d(8) if norm else nn.Identity(), nn.Dropout(dropout))
        self.point_encoder = nn.Linear(8, 1)
        self.spare = nn.Parameter(torch.zeros(spare), requires_grad=False)

    def forward(self, x, record, mode='loss'):
        time.sleep(self.seconds)
        y = self.point_encoder(self.img_backbone(x))
        self.last = record.tolist(), y.detach().square()[:, 0].tolist()
        return dict(loss=y.square().mean()) if mode == 'loss' else [dict(y=value) for value in y]


@MODELS.register_module()
class ExchangingModel(ToyModel):
    """Whose processes wait for one another in each forward pass, but for one that fails in its first."""

    def __init__(self, fails_in_rank, **kwargs):
        super().__init__(**kwargs)
        self.fails_in_rank = fails_in_rank

    def forward(self, x, record, mode='loss'):
        if dist.get_rank() == self.fails_in_rank:
            raise KeyError('out of memory')
        dist.all_gather([torch.empty_like(x) for _ in range(dist.get_world_size())], x)
        return super().forward(x, record, mode)


@METRICS.register_module()
class ToyMetric(BaseMetric):
    takes_part_of_a_set = True

    def __init__(self, fails=False):
        super().__init__()
        self.fails = fails

    def process(self, data_batch, data_samples):
        self.results += [sample['y'].item() for sample in data_samples]

    def compute_metrics(self, results):
        if self.fails:
            raise KeyError('depth')
        return dict(mean=sum(results) / len(results))


@HOOKS.register_module()
class RecordLosses(Hook):
    """Appends the loss of each record to ``records_RANK.jsonl``."""

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        records, losses = getattr(runner.model, 'module', runner.model).last
        with open(f'{runner.work_dir}/records_{runner.rank}.jsonl', 'a') as stream:
            print(json.dumps(dict(iteration=runner.iter, records=records, losses=losses)), file=stream)


@HOOKS.register_module()
class Spoil(Hook):
    """Writes ``value`` into a weight, or its gradient, in iteration ``at``."""

    def __init__(self, at=None, value=float('nan'), gradient=False):
        self.at, self.value, self.gradient = at, value, gradient

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter != self.at:
            return
        weight = runner.model.point_encoder.weight
        if self.gradient:
            handle = weight.register_hook(lambda gradient: handle.remove() or torch.full_like(gradient, self.value))
        else:
            weight.data[0, 0] = self.value


@HOOKS.register_module()
class RecordResources(Hook):
    """Appends what the process and its work dir hold to ``resources.jsonl``, every hundredth iteration."""

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if (runner.iter + 1) % 100:
            return
        pages = int(Path('/proc/self/statm').read_text().split()[1])
        log = sum(path.stat().st_size for path in Path(runner.work_dir).glob('*/**/*') if path.is_file())
        with open(f'{runner.work_dir}/resources.jsonl', 'a') as stream:
            print(json.dumps(dict(
                memory=pages * os.sysconf('SC_PAGE_SIZE'), descriptors=len(os.listdir('/proc/self/fd')),
                shared=sum('torch' in name for name in os.listdir('/dev/shm')), log=log)), file=stream)
