"""Stopped and resumed trainings against one in a single go, with a model and data that draw randomly."""
import random

import numpy as np
import pytest
import torch
from mmengine.dataset import BaseDataset, RepeatDataset
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import ConcatDataset, DataLoader, Dataset

from simipu.engine import ResumableSampler, SeededIndex, sample_seed
from simipu.errors import ConfigError


class RandomData(Dataset):
    """Augments with every global generator; 11 samples, so that batches of 2 do not fill an epoch."""
    loaded, batch_seeds = [], []

    def __len__(self):
        return 11

    def __getitem__(self, index):
        RandomData.loaded.append((int(index), getattr(index, 'seed', None)))  # None: validation
        RandomData.batch_seeds.append(getattr(index, 'batch_seed', None))
        with sample_seed(index):
            noise = [random.random(), np.random.rand(), torch.rand(()).item()]
        return dict(x=torch.tensor([*noise, float(index) + getattr(index, 'batch_seed', 0) / 2**32]))


class RandomModel(BaseModel):

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.layer = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 1))

    def forward(self, x, mode='loss'):
        noise = random.random() + np.random.rand()
        if mode == 'predict':
            return [dict(noise=noise)] * len(x)
        return dict(loss=(self.layer(x) + noise).square().mean())


class Losses(Hook):

    def __init__(self):
        self.losses = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.losses.append(outputs['loss'].item())


class Count:
    """An evaluator; validation draws random numbers in between."""
    dataset_meta = None

    def process(self, data_samples, data_batch):
        torch.rand(3), np.random.rand(3)

    def evaluate(self, size):
        return {}


BY_ITERATION = dict(type='IterBasedTrainLoop', val_interval=3)
BY_EPOCH = dict(type='EpochBasedTrainLoop')


def train(work_dir, loop, length, resume=False, workers=0, seed=3, persistent=False,
          batch_size=2, by_epoch=False):
    infinite = loop is BY_ITERATION
    losses = Losses()
    loader = dict(dataset=RandomData(), batch_size=batch_size, num_workers=workers, persistent_workers=persistent,
                  collate_fn=dict(type='default_collate'), drop_last=True)
    unit = 'max_iters' if infinite else 'max_epochs'
    runner = Runner(
        RandomModel(), str(work_dir), resume=resume, default_scope='mmdet3d', log_level='ERROR',
        train_dataloader=dict(loader, sampler=dict(type='ResumableSampler', infinite=infinite)),
        val_dataloader=dict(loader, num_workers=0, persistent_workers=False,
                            sampler=dict(type='DefaultSampler', shuffle=False)),
        train_cfg={**loop, unit: length}, val_cfg=dict(), val_evaluator=[],
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.05, momentum=0.9)),
        param_scheduler=dict(type='ExponentialLR', gamma=0.9, by_epoch=not infinite, end=10**6),
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', by_epoch=by_epoch, interval=1)),
        custom_hooks=[dict(type='ResumeHook'), losses],
        randomness=dict(seed=seed), experiment_name=f'{work_dir}_{resume}'.replace('/', '_'))
    runner.train()
    assert runner.iter == runner.max_iters
    return losses.losses


@pytest.mark.parametrize('workers, persistent', [(0, False), (1, False), (1, True)])
def test_resumed_iterations_equal_those_in_one_go(tmp_path, workers, persistent):
    whole = train(tmp_path / 'whole', BY_ITERATION, 8)
    first = train(tmp_path / 'part', BY_ITERATION, 4, workers=workers, persistent=persistent)
    second = train(tmp_path / 'part', BY_ITERATION, 8, resume=True, workers=workers, persistent=persistent)
    assert first + second == whole
    assert len(set(whole)) == 8


def test_resumed_epochs_equal_those_in_one_go(tmp_path):
    whole = train(tmp_path / 'whole', BY_EPOCH, 3)
    first = train(tmp_path / 'part', BY_EPOCH, 2)  # saves before its last epoch is over
    second = train(tmp_path / 'part', BY_EPOCH, 3, resume=True)
    assert first + second == whole
    assert len(set(whole)) == 15


def test_resumes_within_an_epoch(tmp_path):
    whole = train(tmp_path, BY_EPOCH, 2)
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'iter_7.pth'))
    assert train(tmp_path, BY_EPOCH, 2, resume=True) == whole[7:]


def test_seed_of_the_checkpoint_wins(tmp_path):
    whole = train(tmp_path / 'whole', BY_ITERATION, 6, seed=None)
    (tmp_path / 'whole' / 'last_checkpoint').write_text(str(tmp_path / 'whole' / 'iter_3.pth'))
    assert train(tmp_path / 'whole', BY_ITERATION, 6, resume=True, seed=None) == whole[3:]


def test_resuming_loads_nothing_twice(tmp_path):
    train(tmp_path, BY_ITERATION, 8)
    RandomData.loaded = []
    train(tmp_path, BY_ITERATION, 9, resume=True)
    assert len(RandomData.loaded) == 2 + 10  # one batch, and one validation


def loaded(monkeypatch, *args, **kwargs):
    """The (index, seed) of all samples that a training trains on."""
    monkeypatch.setattr(RandomData, 'loaded', [])
    train(*args, **kwargs)
    return [sample for sample in RandomData.loaded if sample[1] is not None]


def test_another_batch_size_after_resuming_between_epochs(tmp_path, monkeypatch):
    epochs = [loaded(monkeypatch, tmp_path, BY_EPOCH, 1, by_epoch=True),
              loaded(monkeypatch, tmp_path, BY_EPOCH, 3, resume=True, by_epoch=True, batch_size=4)]
    whole = loaded(monkeypatch, tmp_path / 'whole', BY_EPOCH, 3)
    assert epochs[0] == whole[:10]
    assert epochs[1] == whole[10:18] + whole[20:28]  # two batches of four in each epoch


@pytest.mark.parametrize('saved, left', [(3, [6, 7, 8, 9]), (4, []), (5, [])])
def test_another_batch_size_after_resuming_within_an_epoch(tmp_path, monkeypatch, saved, left):
    whole = loaded(monkeypatch, tmp_path, BY_EPOCH, 2)
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / f'iter_{saved}.pth'))
    resumed = loaded(monkeypatch, tmp_path, BY_EPOCH, 2, resume=True, batch_size=4)
    assert resumed == [whole[place] for place in left] + whole[10:18]


def test_another_batch_size_after_resuming_iterations(tmp_path, monkeypatch):
    whole = loaded(monkeypatch, tmp_path / 'whole', BY_ITERATION, 13)
    parts = [loaded(monkeypatch, tmp_path / 'part', BY_ITERATION, length, resume=length > 2,
                    batch_size=batch_size) for length, batch_size in [(2, 2), (3, 4), (6, 5), (7, 3)]]
    assert [len(part) for part in parts] == [4, 4, 15, 3]
    assert sum(parts, []) == whole


def test_checkpoint_without_the_hook_begins_an_epoch_anew(tmp_path, monkeypatch):
    whole = loaded(monkeypatch, tmp_path, BY_EPOCH, 2)
    path = tmp_path / 'iter_7.pth'
    checkpoint = torch.load(path, weights_only=False)
    del checkpoint['message_hub']['runtime_info']['samples_drawn']
    torch.save(checkpoint, path)
    (tmp_path / 'last_checkpoint').write_text(str(path))
    assert loaded(monkeypatch, tmp_path, BY_EPOCH, 2, resume=True) == whole[10:]


@pytest.mark.parametrize('loop', [BY_EPOCH, BY_ITERATION])
def test_too_few_samples_for_a_batch_are_explained(tmp_path, loop):
    with pytest.raises(ConfigError, match=r'batch_size is 12, but 11 frames over 1 process\(es\) are only 11 .*=11$'):
        train(tmp_path, loop, 1, batch_size=12)


def test_wrong_sampler_is_explained(tmp_path, monkeypatch):
    monkeypatch.setitem(BY_EPOCH, 'type', 'IterBasedTrainLoop')
    monkeypatch.setitem(BY_EPOCH, 'max_iters', 1)
    with pytest.raises((ValueError, TypeError), match='infinite=True|max_epochs'):
        train(tmp_path, BY_EPOCH, 1)


def test_each_epoch_deals_every_sample_once_in_a_new_order():
    sampler = ResumableSampler(range(50), seed=1)
    first = list(sampler)
    sampler.set_epoch(1)
    second = list(sampler)
    assert sorted(first) == sorted(second) == list(range(50)) and first != second
    assert len({item.seed for item in first + second}) == 100
    assert list(ResumableSampler(range(50), shuffle=False, seed=1)) == list(range(50))


@pytest.mark.parametrize('infinite', [False, True])
def test_processes_share_an_epoch(monkeypatch, infinite):
    shares = []
    for rank in range(3):
        monkeypatch.setattr('simipu.engine.resumable_sampler.get_dist_info', lambda: (rank, 3))
        sampler = ResumableSampler(range(10), seed=1, infinite=infinite)
        items = iter(sampler)
        shares.append([next(items) for _ in range(4)])
    dealt = [item for batch in zip(*shares) for item in batch]
    assert set(dealt) == set(range(10)) and dealt[:2] == dealt[10:]
    assert len({item.seed for item in dealt}) == 12


def test_one_then_two_then_three_processes_draw_the_order_of_one(monkeypatch):
    """As ResumeHook lets them go on: each process leaves out its share of what all drew together."""
    def draw(world_size, drawn, rounds):
        shares = []
        for rank in range(world_size):
            monkeypatch.setattr('simipu.engine.resumable_sampler.get_dist_info', lambda: (rank, world_size))
            sampler = ResumableSampler(range(24), seed=1, infinite=True)
            sampler.skip(drawn // world_size)
            items = iter(sampler)
            shares.append([next(items) for _ in range(rounds)])
        return [(int(item), item.seed) for row in zip(*shares) for item in row]

    assert draw(1, 0, 6) + draw(2, 6, 9) + draw(3, 24, 4) == draw(1, 0, 36)


def test_skipping_within_and_over_epochs():
    def draw(skip):
        sampler = ResumableSampler(range(7), seed=1, infinite=True)
        sampler.skip(skip)
        items = iter(sampler)
        return [(item, item.seed) for item in (next(items) for _ in range(30 - skip))]

    assert draw(3) == draw(0)[3:] and draw(17) == draw(0)[17:]


def test_a_batch_shares_a_seed_which_follows_from_its_place(tmp_path, monkeypatch):
    def batch_seeds(*args, **kwargs):
        monkeypatch.setattr(RandomData, 'batch_seeds', [])
        train(*args, **kwargs)
        return [seed for seed in RandomData.batch_seeds if seed is not None]

    whole = batch_seeds(tmp_path / 'whole', BY_EPOCH, 2)
    assert whole[::2] == whole[1::2] and len(set(whole)) == 10
    (tmp_path / 'whole' / 'last_checkpoint').write_text(str(tmp_path / 'whole' / 'iter_3.pth'))
    assert batch_seeds(tmp_path / 'whole', BY_EPOCH, 2, resume=True) == whole[6:]
    (tmp_path / 'whole' / 'last_checkpoint').write_text(str(tmp_path / 'whole' / 'iter_3.pth'))
    larger = batch_seeds(tmp_path / 'whole', BY_EPOCH, 2, resume=True, batch_size=4)
    assert [len(set(larger[start:start + 4])) for start in range(0, len(larger), 4)] == [1] * (len(larger) // 4)


def test_processes_share_the_seeds_of_batches(monkeypatch):
    def batch_seeds(rank):
        monkeypatch.setattr('simipu.engine.resumable_sampler.get_dist_info', lambda: (rank, 2))
        sampler = ResumableSampler(range(12), seed=1)
        sampler.batch_size = 3
        return [item.batch_seed for item in sampler]

    assert batch_seeds(0) == batch_seeds(1) and len(set(batch_seeds(0))) == 2


def test_repeated_data_sets_keep_the_seed():
    class Frames(BaseDataset):
        def load_data_list(self):
            return [{}] * 3

        def __getitem__(self, index):
            return int(index), index.seed, index.batch_seed

    assert RepeatDataset(Frames(), times=2)[SeededIndex(4, seed=8, batch_seed=9)] == (1, 8, 9)


def test_empty_data_set_is_explained():
    with pytest.raises(ValueError, match='has no sample'):
        ResumableSampler([])


def test_sample_seed_reaches_workers_and_concatenated_data_sets():
    data = ConcatDataset([RandomData(), RandomData()])
    batches = [torch.cat([batch['x'] for batch in DataLoader(
        data, batch_size=2, num_workers=workers, sampler=ResumableSampler(data, seed=5), drop_last=True)])
        for workers in (0, 2)]
    assert torch.equal(*batches)
    assert len(batches[0][:, :3].unique()) == 22 * 3


def test_sample_seed_leaves_the_generators_alone():
    torch.manual_seed(0), np.random.seed(0), random.seed(0)
    expected = torch.rand(()), np.random.rand(), random.random()
    torch.manual_seed(0), np.random.seed(0), random.seed(0)
    with sample_seed(SeededIndex(4, seed=9)):
        torch.rand(5), np.random.rand(5), random.random()
    assert (torch.rand(()), np.random.rand(), random.random()) == expected
    with sample_seed(4):
        changed = torch.rand(())
    torch.manual_seed(0)
    assert changed == torch.rand(2)[1]
