"""tools/train.py, tools/test.py and tools/dist_train.sh on a toy model and data set."""
import itertools
import os
import runpy
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import simipu
from simipu.errors import ConfigError

TOOLS = Path(__file__).resolve().parents[2] / 'tools'

TOY = '''
import os
import torch
from mmengine.dist import get_rank
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from torch.utils.data import Dataset
from mmdet3d.registry import DATASETS, HOOKS, METRICS, MODELS
from simipu.engine import sample_seed


@DATASETS.register_module(force=True)
class ToyData(Dataset):
    def __len__(self):
        return 6

    def __getitem__(self, index):
        with sample_seed(index):
            return dict(x=torch.rand(4) + index)


@MODELS.register_module(force=True)
class ToyModel(BaseModel):
    def __init__(self, width=8):
        super().__init__()
        self.img_backbone = torch.nn.Linear(4, width)
        self.point_encoder = torch.nn.Linear(width, 1)

    def forward(self, x, mode='loss'):
        y = self.point_encoder(torch.nn.functional.dropout(self.img_backbone(x))).float()
        return dict(loss=y.square().mean()) if mode == 'loss' else [dict(y=value) for value in y]


@METRICS.register_module(force=True)
class ToyMetric(BaseMetric):
    def process(self, data_batch, data_samples):
        self.results += [sample['y'].isfinite().item() for sample in data_samples]

    def compute_metrics(self, results):
        return dict(finite=sum(results))


@HOOKS.register_module(force=True)
class SpoilOneBatch(Hook):
    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if (get_rank(), batch_idx) == (1, 1):
            data_batch['x'][:] = float('nan')


@HOOKS.register_module(force=True)
class SendSignal(Hook):
    def __init__(self, number, rank=0):
        self.number, self.rank = number, rank

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if (runner.iter, get_rank()) == (1, self.rank):
            os.kill(os.getpid(), self.number)


@HOOKS.register_module(force=True)
class SaveEachRank(Hook):
    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        runner.message_hub.update_info('losses', [
            *runner.message_hub.runtime_info.get('losses', []), outputs['loss'].item()])

    def after_train(self, runner):
        model = getattr(runner.model, 'module', runner.model)
        torch.save(dict(model.state_dict(), losses=runner.message_hub.get_info('losses')),
                   f'{runner.work_dir}/rank{get_rank()}.pth')
'''

CONFIG = '''
default_scope = 'mmdet3d'
custom_imports = dict(imports=['simipu', 'toy_project'], allow_failed_imports=False)
model = dict(type='ToyModel')
train_dataloader = dict(dataset=dict(type='ToyData'), batch_size=2, num_workers=0,
                        sampler=dict(type='ResumableSampler', infinite=True),
                        collate_fn=dict(type='default_collate'))
test_dataloader = dict(dataset=dict(type='ToyData'), batch_size=2,
                       sampler=dict(type='DefaultSampler', shuffle=False),
                       collate_fn=dict(type='default_collate'))
test_cfg = dict()
test_evaluator = dict(type='ToyMetric')
train_cfg = dict(by_epoch=False, max_iters=4)
optim_wrapper = dict(type='OptimWrapper', constructor='HybridOptimWrapperConstructor', optimizer=dict(
    point_encoder=dict(type='AdamW', lr=1e-3), default=dict(type='SGD', lr=1e-3, momentum=0.9)))
param_scheduler = dict(type='ExponentialLR', gamma=0.9, by_epoch=False, end=10**9)
auto_scale_lr = dict(enable=False, base_batch_size=4)
default_hooks = dict(checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=4),
                     logger=dict(type='LoggerHook', interval=1))
custom_hooks = [dict(type='ResumeHook'), dict(type='SaveEachRank')]
randomness = dict(seed=0)
'''


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A config of a project of its own, in the current folder."""
    (tmp_path / 'toy_project.py').write_text(TOY)
    (tmp_path / 'toy.py').write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv('LOCAL_RANK', '0')
    sys.modules.pop('toy_project', None)
    return tmp_path


NUMBERS = itertools.count()


def call(monkeypatch, tool, *arguments, options=()):
    """Run a tool in this process, which spares the time of importing mmdet3d."""
    name = f'experiment_name=toy{next(NUMBERS)}'  # MMEngine keeps loggers by name and second
    monkeypatch.setattr(sys, 'argv', [tool, *arguments, '--cfg-options', name, *options])
    runpy.run_path(str(TOOLS / tool), run_name='__main__')


def result(work_dir, rank=0):
    return torch.load(Path(work_dir) / f'rank{rank}.pth')


def test_resumed_training_equals_one_in_one_go(toy, monkeypatch):
    call(monkeypatch, 'train.py', 'toy.py', '--work-dir', 'whole', options=['train_cfg.max_iters=8'])
    call(monkeypatch, 'train.py', 'toy.py')
    for resume in (['--resume'], ['--resume', 'work_dirs/toy/iter_4.pth']):
        call(monkeypatch, 'train.py', 'toy.py', *resume, options=['train_cfg.max_iters=8'])
        whole, resumed = result('whole'), result('work_dirs/toy')
        assert resumed['losses'] == whole['losses'] and len(set(whole['losses'])) == 8
        assert torch.equal(resumed['img_backbone.weight'], whole['img_backbone.weight'])


def test_resume_without_a_checkpoint_starts_as_without_the_flag(toy, monkeypatch, capfd):
    """So do jobs that are always started with --resume, also where load_from fits in part only."""
    call(monkeypatch, 'train.py', 'toy.py', '--work-dir', 'other', options=['model.width=5'])
    call(monkeypatch, 'train.py', 'toy.py', '--resume', options=['load_from=other/iter_4.pth'])
    assert 'Load checkpoint from other/iter_4.pth' in ''.join(capfd.readouterr())
    assert Path('work_dirs/toy/iter_4.pth').is_file()


def test_auto_scale_lr_and_amp(toy, monkeypatch, capfd):
    call(monkeypatch, 'train.py', 'toy.py', '--auto-scale-lr', '--amp')
    assert 'base_lr: 1.0000e-03 lr: 5.0000e-04' in capfd.readouterr().out
    saved = torch.load('work_dirs/toy/iter_4.pth')
    assert 'AmpOptimWrapper' in saved['meta']['cfg']
    call(monkeypatch, 'train.py', 'toy.py', '--work-dir', 'full')
    assert result('full')['losses'] != result('work_dirs/toy')['losses']


def test_testing_a_checkpoint(toy, monkeypatch, capfd):
    call(monkeypatch, 'train.py', 'toy.py')
    call(monkeypatch, 'test.py', 'toy.py', 'work_dirs/toy/iter_4.pth')
    assert 'finite: 6' in capfd.readouterr().out


@pytest.mark.parametrize('no_val', [False, True])
def test_training_without_validation(toy, monkeypatch, capfd, no_val):
    with open('toy.py', 'a') as config:
        config.write('val_dataloader, val_evaluator, val_cfg = test_dataloader, test_evaluator, dict()\n'
                     'train_cfg["val_interval"] = 2\n')
    call(monkeypatch, 'train.py', 'toy.py', *['--no-val'] * no_val)
    output = capfd.readouterr().out
    assert ('finite: 6' in output) != no_val and ('because of --no-val' in output) == no_val
    assert Path('work_dirs/toy/iter_4.pth').is_file()


@pytest.mark.parametrize('tool, arguments, options, message', [
    ('train.py', ['missing.py'], [], 'no config file missing.py'),
    ('train.py', ['toy.py'], ['model.widht=4'], r"model\.widht: unknown key; ToyModel takes width; did you"),
    ('train.py', ['toy.py'], ['optim_wrapper.optimizer.pointnet.type=SGD'],
     'optim_wrapper.optimizer.pointnet: no parameter has this prefix'),
    ('train.py', ['toy.py', '--resume', 'missing.pth'], [], 'no checkpoint file missing.pth'),
    ('train.py', ['toy.py', '--auto-scale-lr'], ['auto_scale_lr._delete_=True'], 'no auto_scale_lr.base_batch'),
    ('train.py', ['toy.py', '--amp'], ['optim_wrapper.type=CPUAmpOptimWrapper'], '--amp: expected'),
    ('train.py', ['toy.py', '--resume', 'other.pth'], [],
     r'other.pth is of another model[\s\S]*size mismatch for img_backbone.weight'),
    ('train.py', ['toy.py'], ['train_dataloader.batch_size=7', 'train_dataloader.drop_last=True'],
     r'batch_size is 7, but 6 frames .*train_dataloader.batch_size=6$'),
    ('test.py', ['toy.py', 'other.pth'], [], 'other.pth is of another model'),
    ('test.py', ['toy.py', 'missing.pth'], [], 'no checkpoint file missing.pth'),
])
def test_mistakes_give_one_message(toy, monkeypatch, tool, arguments, options, message):
    if 'other.pth' in arguments:
        call(monkeypatch, 'train.py', 'toy.py', '--work-dir', 'other', options=['model.width=5'])
        os.rename('other/iter_4.pth', 'other.pth')
    with pytest.raises(SystemExit, match=message) as info:
        call(monkeypatch, tool, *arguments, options=options)
    assert str(info.value).startswith('error: ')


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize('loop', ['dict(by_epoch=False, max_iters=6)', 'dict(by_epoch=True, max_epochs=2)'])
def test_a_signal_loses_nothing_but_the_step_under_way(toy, monkeypatch, number, loop):
    with open('toy.py', 'a') as config:
        config.write(f'train_cfg = {loop}\ntrain_dataloader["sampler"]["infinite"] = {"max_iters" in loop}\n')
    call(monkeypatch, 'train.py', 'toy.py', '--work-dir', 'whole')
    with open('toy.py', 'a') as config:
        config.write(f'custom_hooks += [dict(type="SendSignal", number={int(number)})]\n')
    with pytest.raises(SystemExit) as stopped:
        call(monkeypatch, 'train.py', 'toy.py')
    assert stopped.value.code == 75
    assert torch.load('work_dirs/toy/interrupted.pth')['meta']['iter'] == 2
    call(monkeypatch, 'train.py', 'toy.py', '--resume')
    whole, resumed = result('whole'), result('work_dirs/toy')
    assert resumed['losses'] == whole['losses'] and len(whole['losses']) == 6
    assert torch.equal(resumed['img_backbone.weight'], whole['img_backbone.weight'])


def test_a_further_training_is_not_overwritten(toy, monkeypatch):
    call(monkeypatch, 'train.py', 'toy.py')
    before = Path('work_dirs/toy/iter_4.pth').read_bytes()
    with pytest.raises(SystemExit, match=r'error: work_dirs/toy holds 1 checkpoint\(s\) .* --resume, .* --work-dir'):
        call(monkeypatch, 'train.py', 'toy.py')
    assert Path('work_dirs/toy/iter_4.pth').read_bytes() == before
    call(monkeypatch, 'train.py', 'toy.py', '--work-dir', 'other')


def test_a_work_dir_is_locked_while_it_is_trained_in(toy, monkeypatch):
    Path('work_dirs/toy').mkdir(parents=True)
    lock = Path('work_dirs/toy/training.lock')
    lock.write_text('{"host": "elsewhere", "pid": 7}')
    with pytest.raises(SystemExit, match='error: .*training.lock: process 7 on host elsewhere trains in this folder'):
        call(monkeypatch, 'train.py', 'toy.py')
    lock.unlink()
    call(monkeypatch, 'train.py', 'toy.py')
    assert not lock.exists()


def test_weights_of_which_nothing_fits_are_refused(toy, monkeypatch):
    torch.save(dict(other=torch.zeros(2)), 'other.pth')
    with pytest.raises(SystemExit, match='other.pth: none of its 1 tensors is of the model'):
        call(monkeypatch, 'train.py', 'toy.py', options=['load_from=other.pth'])


def _with_nan_momentum(content):
    next(value for value in content['optimizer']['state'].values() if 'momentum_buffer' in value)[
        'momentum_buffer'].fill_(torch.nan)


@pytest.mark.parametrize('spoil, problem', [
    (_with_nan_momentum, 'do not fit the config .momentum_buffer holds NaN or infinity'),
    (lambda content: content['optimizer'].update(state={}), 'do not fit the config .it holds no momentum'),
    (lambda content: content['optimizer']['param_groups'][0].pop('params'), 'do not fit the config .KeyError'),
    (lambda content: content.pop('param_schedulers'), 'it holds the state of 0 param_schedulers')])
def test_a_training_is_resumed_as_a_whole_or_not_at_all(toy, monkeypatch, spoil, problem):
    call(monkeypatch, 'train.py', 'toy.py', '--work-dir', 'a')
    content = torch.load('a/iter_4.pth')
    spoil(content)
    torch.save(content, 'a/iter_4.pth')
    with pytest.raises(SystemExit, match=f'^error: .*iter_4.pth: .*{problem}'):
        call(monkeypatch, 'train.py', 'toy.py', '--work-dir', 'a', '--resume', options=['train_cfg.max_iters=8'])


def test_what_a_constructor_refuses_is_one_line_with_its_place(toy, monkeypatch):
    with pytest.raises(SystemExit, match='^error: model, ToyModel: cannot be built from these settings .TypeError: '):
        call(monkeypatch, 'train.py', 'toy.py', options=['model.width=x'])  # which its class does not annotate
    monkeypatch.setenv('SIMIPU_TRACEBACK', '1')
    with pytest.raises(ConfigError) as info:
        call(monkeypatch, 'train.py', 'toy.py', options=['model.width=x'])
    assert isinstance(info.value.__cause__, TypeError)


def test_faults_of_the_program_keep_their_traceback(toy, monkeypatch):
    toy_project = Path('toy_project.py')
    toy_project.write_text(toy_project.read_text().replace('y.square().mean()', 'y.no_such_method()'))
    with pytest.raises(AttributeError):
        call(monkeypatch, 'train.py', 'toy.py')


@pytest.mark.skipif(torch.cuda.is_available(), reason='about processes on CPU')
def test_two_processes_on_cpu(toy):
    """Equal parameters on both ranks after random, differing batches, one of them spoilt; one log."""
    with open('toy.py', 'a') as config:
        config.write("custom_hooks += [dict(type='SpoilOneBatch'), dict(type='FiniteHook')]")
    path = os.pathsep.join([str(toy), str(Path(simipu.__file__).parents[1])])
    done = subprocess.run(
        ['bash', str(TOOLS / 'dist_train.sh'), 'toy.py', '2', '--cfg-options', 'train_cfg.max_iters=3'],
        env=dict(os.environ, PYTHONPATH=path, VIRTUAL_ENV=sys.prefix, PYTHONWARNINGS='ignore',
                 PATH=f'{sys.prefix}/bin:{os.environ["PATH"]}'), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    first, second = (result('work_dirs/toy', rank) for rank in (0, 1))
    assert first.pop('losses') != second.pop('losses')
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    assert (done.stdout + done.stderr).count('iteration 2: loss or gradients are NaN') == 1
    assert (done.stdout + done.stderr).count('Epoch(train) [1][1/') == 1
    assert len(list(toy.glob('work_dirs/toy/*/*.log'))) == 1
