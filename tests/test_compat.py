"""Each workaround, and the fault of the library without it."""
import errno
import inspect
import io
import os
import pickle
import socket
import subprocess
import sys
import zipfile
from pathlib import Path

import mmcv
import mmengine
import numpy as np
import pytest
import torch
from mmdet3d.datasets import Det3DDataset, KittiDataset
from mmdet3d.datasets.transforms import DataBaseSampler
from mmdet3d.registry import MODELS
from mmengine.config import Config
from mmengine.dist import init_dist
from mmengine.fileio import LocalBackend, YamlHandler
from mmengine.hooks import CheckpointHook
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModel
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.runner import Runner
from mmengine.utils import digit_version
from torch import nn
from torch._utils import _rebuild_tensor_v2
from yaml.constructor import ConstructorError

import simipu.datasets  # noqa: F401  (applies what is about data sets)
from simipu import compat
from simipu.engine.launch import build_runner
from simipu.errors import OutputError

torch_has_safe_globals = torch.load is not compat._load_with_our_types
needs_safe_globals = pytest.mark.skipif(not torch_has_safe_globals, reason='torch before 2.6')
before_safe_globals = pytest.mark.skipif(torch_has_safe_globals, reason='torch 2.6 or newer')
numpy_1 = pytest.mark.skipif(np.__version__ >= '2', reason='numpy 2 has np.long')
BENCHMARKS = Path(__file__).resolve().parents[1] / 'benchmarks'
on_cpu = pytest.mark.skipif(torch.cuda.is_available(), reason='about machines without GPU')


def save_history(path):
    history = HistoryBuffer()
    for value in (1.5, np.float64(2.5), 3):
        history.update(value)
    torch.save(dict(history=history, best=np.float32(0.5), count=np.arange(3), name=np.str_('Van')), path)


def test_mmengine_checkpoints_open_without_trust(tmp_path):
    save_history(tmp_path / 'checkpoint.pth')
    loaded = torch.load(tmp_path / 'checkpoint.pth', weights_only=True)
    assert loaded['history'].mean() == pytest.approx(7 / 3) and loaded['best'] == 0.5
    assert loaded['count'].tolist() == [0, 1, 2] and loaded['name'] == 'Van'
    loaded['history'].update(4.5)
    assert loaded['history'].statistics('max') == 4.5


def test_checkpoints_of_the_other_numpy_open(tmp_path):
    """numpy 2 has another name for the functions that numpy 1 writes into a pickle."""
    save_history(tmp_path / 'checkpoint.pth')
    names = [b'numpy.core.multiarray', b'numpy._core.multiarray']
    mine, other = names if np.__version__ < '2' else names[::-1]
    with zipfile.ZipFile(tmp_path / 'checkpoint.pth') as source, zipfile.ZipFile(tmp_path / 'other.pth', 'w') as target:
        for name in source.namelist():
            target.writestr(name, source.read(name).replace(b'c' + mine + b'\n', b'c' + other + b'\n'))
    assert (tmp_path / 'other.pth').read_bytes().count(other) > 0
    assert torch.load(tmp_path / 'other.pth', weights_only=True)['best'] == 0.5


@before_safe_globals
def test_torch_load_is_as_it_was_for_whoever_does_not_ask_for_weights_only(tmp_path):
    torch.save(dict(payload=Evil(abs, -1)), tmp_path / 'trusted.pth')
    assert torch.load(tmp_path / 'trusted.pth')['payload'] == 1


@needs_safe_globals
def test_fault_mmengine_checkpoints_do_not_open_by_themselves(tmp_path):
    save_history(tmp_path / 'checkpoint.pth')
    with torch.serialization.safe_globals([]):
        torch.serialization.clear_safe_globals()
        with pytest.raises(pickle.UnpicklingError, match='HistoryBuffer'):
            torch.load(tmp_path / 'checkpoint.pth')
    compat.allow_training_checkpoints()


class Evil:

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize('payload', [
    Evil(os.system, 'true'), Evil(eval, '1'), Evil(getattr, HistoryBuffer, '__init__')])
def test_code_in_a_checkpoint_stays_forbidden(tmp_path, payload):
    torch.save(dict(payload=payload), tmp_path / 'evil.pth')
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / 'evil.pth', weights_only=True)


def test_a_checkpoint_changes_no_function(tmp_path):
    torch.save({}, tmp_path / 'empty.pth')
    function, state = (pickle.dumps(value, protocol=2)[2:-1] for value in (_rebuild_tensor_v2, (None, dict(mine=1))))
    content = pickle.PROTO + b'\x02' + function + state + pickle.BUILD + pickle.STOP
    with zipfile.ZipFile(tmp_path / 'empty.pth') as source, zipfile.ZipFile(tmp_path / 'evil.pth', 'w') as target:
        for name in source.namelist():
            target.writestr(name, content if name.endswith('data.pkl') else source.read(name))
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / 'evil.pth', weights_only=True)
    assert not hasattr(_rebuild_tensor_v2, 'mine')


@on_cpu
def test_fault_mmengine_sets_a_cuda_device_on_cpu(monkeypatch):
    monkeypatch.setattr(torch.multiprocessing, 'set_start_method', lambda method: None)
    for name, value in dict(RANK='0', LOCAL_RANK='0', WORLD_SIZE='1').items():
        monkeypatch.setenv(name, value)
    with pytest.raises((RuntimeError, AssertionError, AttributeError), match='(?i)cuda|nvidia'):
        init_dist('pytorch', backend='gloo')


@MODELS.register_module()
class ModelOfCompatTest(BaseModel):

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def forward(self, x, mode='loss'):
        return dict(loss=self.layer(x).sum())


@pytest.fixture
def launched(monkeypatch):
    """The environment of a process that torchrun has started, as the only one."""
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    for name, value in dict(RANK=0, LOCAL_RANK=0, WORLD_SIZE=1, MASTER_ADDR='127.0.0.1',
                            MASTER_PORT=port).items():
        monkeypatch.setenv(name, str(value))
    yield
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


@on_cpu
def test_distributed_training_on_cpu(tmp_path, launched):
    cfg = Config(dict(model=dict(type='ModelOfCompatTest'), work_dir=str(tmp_path), launcher='pytorch',
                      log_level='ERROR', default_scope='mmdet3d'))
    runner = build_runner(cfg)
    assert type(runner.model).__name__ == 'MMDistributedDataParallel' and runner.model.gradient_as_bucket_view
    start = runner.model.module.layer.bias.item()
    optimizer = torch.optim.SGD(runner.model.parameters(), lr=1.0)
    runner.model.train_step(dict(x=torch.ones(1, 1)), OptimWrapper(optimizer))
    assert runner.model.module.layer.bias.item() == pytest.approx(start - 1)


@on_cpu
def test_fault_mmengine_gives_ddp_a_device_on_cpu(tmp_path, launched):
    compat.init_cpu_process_group('pytorch')
    with pytest.raises(ValueError, match='device_ids'):
        Runner(ModelOfCompatTest(), str(tmp_path), launcher='pytorch', log_level='ERROR')


@pytest.mark.parametrize('device', ['cpu', 'cuda'])
def test_model_wrapper_keeps_the_settings_of_the_config(device, monkeypatch):
    monkeypatch.setattr(compat, 'get_device', lambda: device)
    of_device = dict(device_ids=None) if device == 'cpu' else {}  # on a GPU MMEngine names it
    defaults = dict(type='MMDistributedDataParallel', broadcast_buffers=False, find_unused_parameters=False,
                    gradient_as_bucket_view=True)
    copied = dict(gradient_as_bucket_view=False)
    for settings, expected in [
            ({}, defaults),
            (dict(find_unused_parameters=True), dict(defaults, find_unused_parameters=True)),
            (dict(model_wrapper_cfg=copied), dict(defaults, **copied)),
            (dict(model_wrapper_cfg=dict(type='Mine', module=1)), dict(type='Mine', module=1))]:
        cfg = Config(settings)
        compat.set_model_wrapper(cfg)
        assert cfg.model_wrapper_cfg.to_dict() == {**expected, **of_device}


@on_cpu
def test_other_launchers_are_explained_on_cpu():
    with pytest.raises(ValueError, match='slurm needs GPUs.*dist_train.sh'):
        compat.init_cpu_process_group('slurm')


@on_cpu
def test_fault_mmengine_refuses_amp_on_cpu():
    with pytest.raises(AssertionError, match='only available'):
        AmpOptimWrapper(optimizer=torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0))


def test_amp_on_cpu_computes_in_bfloat16():
    layer = nn.Linear(2, 2)
    wrapper = compat.CPUAmpOptimWrapper(optimizer=torch.optim.SGD(layer.parameters(), lr=1.0))
    with wrapper.optim_context(layer):
        result = layer(torch.ones(1, 2))
    assert result.dtype == torch.bfloat16
    wrapper.update_params(result.sum())
    assert layer.weight.dtype == torch.float32


@pytest.mark.parametrize('code, quiet', [('import spconv.pytorch', False), ('import simipu, spconv.pytorch', True)])
def test_spconv_warns_and_is_silenced(code, quiet):
    spconv = pytest.importorskip('spconv')
    older = digit_version(spconv.__version__) <= digit_version('2.3.6')
    if not older or digit_version(torch.__version__) < digit_version('2.4'):
        pytest.skip('only spconv up to 2.3.6 warns, with torch 2.4 or newer')
    result = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert ('torch.cuda.amp.custom_fwd' in result.stderr) is not quiet


EMPTY = dict(gt_labels_3d=np.zeros(0, dtype=int), gt_bboxes_3d=np.zeros((0, 7)),
             gt_bboxes_labels=np.array(0))  # as mmdet3d 1.4.0 makes them for a frame without objects


CODE_IN_YAML = 'folder: !!python/object/apply:os.getcwd []'


def test_fault_mmengine_runs_what_a_yaml_file_names():
    assert YamlHandler().load_from_fileobj(io.StringIO(CODE_IN_YAML)) == dict(folder=os.getcwd())


def test_a_yaml_file_holds_data_only(tmp_path):
    (tmp_path / 'a.yaml').write_text(CODE_IN_YAML)
    with pytest.raises(ConstructorError, match='python/object/apply'):
        mmengine.load(tmp_path / 'a.yaml')
    (tmp_path / 'a.yaml').write_text('a: [1, 2.5, x]')
    assert mmengine.load(tmp_path / 'a.yaml') == dict(a=[1, 2.5, 'x'])


def test_kitti_frames_without_objects():
    kept = KittiDataset._remove_dontcare(None, EMPTY)
    assert kept['gt_bboxes_labels'].shape == (0, ) and kept['gt_bboxes_3d'].shape == (0, 7)
    labels = dict(EMPTY, gt_labels_3d=np.array([1, -1]), gt_bboxes_3d=np.eye(2, 7),
                  gt_bboxes_labels=np.array([1, -1]))
    assert KittiDataset._remove_dontcare(None, labels)['gt_bboxes_labels'].tolist() == [1]


def test_fault_mmdet3d_fails_on_frames_without_objects():
    with pytest.raises(IndexError):
        Det3DDataset._remove_dontcare(None, EMPTY)


@numpy_1
def test_fault_mmdet3d_s_sampler_needs_np_long():
    assert 'np.long' in inspect.getsource(DataBaseSampler.sample_all)
    with pytest.raises(AttributeError):
        np.long


@numpy_1
def test_np_long_is_there_inside_and_gone_after_an_error():
    with pytest.raises(KeyError), compat.numpy_long():
        assert np.long is np.int64
        raise KeyError
    assert not hasattr(np, 'long')


BASE = "_base_ = 'simipu::simipu_synthetic.py'\nrandomness = dict(seed=7)\n"


def test_own_configs_are_found_by_name(tmp_path):
    (tmp_path / 'mine.py').write_text(BASE)
    cfg = Config.fromfile(tmp_path / 'mine.py')
    assert cfg.model.type == 'SimIPU' and cfg.randomness.seed == 7
    assert '_scope_' not in cfg.pretty_text
    other = Config.fromfile(compat.OWN_CONFIGS / 'simipu_synthetic.py')
    assert cfg.model == other.model and cfg.train_dataloader == other.train_dataloader


def test_fault_mmengine_does_not_find_our_configs(tmp_path):
    (tmp_path / 'mine.py').write_text(BASE)
    code = f'from mmengine.config import Config; Config.fromfile({str(tmp_path / "mine.py")!r})'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.returncode == 1 and 'please specify the package name' in done.stderr


@pytest.mark.parametrize('norm', [compat.get_total_norm, compat._norm_of_all])
def test_norm_of_all_gradients(norm):
    assert norm(value for value in [torch.tensor([3.0]), torch.tensor([[4.0], [12.0]])]) == 13
    assert norm([]) == 0
    assert not norm([torch.ones(2), torch.tensor([float('inf')])]).isfinite()


class FailingAt:
    """``os.fsync`` that meets a full disk at its call of that number."""

    def __init__(self, number):
        self.left = number

    def __call__(self, descriptor):
        self.left -= 1
        if not self.left:
            raise OSError(errno.ENOSPC, 'No space left on device')


def toy_runner(work_dir, checkpoint, name):
    """Three iterations, a checkpoint after each."""
    return Runner(
        ModelOfCompatTest(), str(work_dir), train_cfg=dict(by_epoch=False, max_iters=3), experiment_name=name,
        train_dataloader=dict(dataset=[dict(x=torch.ones(1))], batch_size=1, sampler=dict(type='DefaultSampler'),
                              collate_fn=dict(type='default_collate')),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)), log_level='ERROR',
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=1, **checkpoint)))


def test_a_full_disk_leaves_the_last_checkpoint_and_its_pointer(tmp_path, monkeypatch):
    monkeypatch.setattr(os, 'fsync', FailingAt(3))  # a checkpoint, its pointer, the next checkpoint
    runner = toy_runner(tmp_path, {}, 'full_disk')
    with pytest.raises(OutputError, match=r'iter_2\.pth cannot be written \(No space left on device\): it needs'):
        runner.train()
    assert [path.name for path in tmp_path.glob('*iter*')] == ['iter_1.pth']
    assert (tmp_path / 'last_checkpoint').read_text() == str(tmp_path / 'iter_1.pth')
    assert torch.load(tmp_path / 'iter_1.pth', weights_only=True)['meta']['iter'] == 1


def test_mmengine_writes_checkpoints_and_their_pointer_in_place():
    """The fault that ``compat.write_checkpoints_whole`` is for."""
    assert "with open(filepath, 'wb') as f:" in inspect.getsource(inspect.getmodule(LocalBackend))
    assert "with open(save_file, 'w') as f:" in inspect.getsource(CheckpointHook)


def test_the_last_checkpoint_stays_until_the_next_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(os, 'fsync', FailingAt(5))  # a checkpoint and its pointer twice, then the third
    runner = toy_runner(tmp_path, dict(max_keep_ckpts=1), 'keep_one')
    with pytest.raises(OutputError, match=r'iter_3\.pth cannot be written'):
        runner.train()
    assert [path.name for path in tmp_path.glob('*.pth')] == ['iter_2.pth']


def test_mmengine_removes_checkpoints_before_it_writes_the_next():
    """The fault that ``compat.remove_checkpoints_afterwards`` is for."""
    for name in ('_save_checkpoint_with_step', '_save_best_checkpoint'):
        source = inspect.getsource(getattr(CheckpointHook, name))  # of MMEngine's own, which ours names
        assert source.index('self.file_backend.remove(') < source.index('runner.save_checkpoint(')


@pytest.fixture
def without_operators(tmp_path):
    """Runs code where mmcv has no compiled extension."""
    (tmp_path / 'mmcv').mkdir()
    for path in Path(mmcv.__file__).parent.iterdir():
        if not path.name.startswith('_ext'):
            (tmp_path / 'mmcv' / path.name).symlink_to(path)

    def run(code):
        path = os.pathsep.join([str(tmp_path), str(BENCHMARKS), *sys.path])
        return subprocess.run([sys.executable, '-c', code], capture_output=True, text=True,
                              env=dict(os.environ, PYTHONPATH=path))
    return run


def test_fault_mmdet3d_cannot_be_imported_without_the_operators_of_mmcv(without_operators):
    assert "No module named 'mmcv._ext'" in without_operators('import mmdet3d.models').stderr


def test_without_operators_all_is_there_but_what_calls_them(without_operators):
    done = without_operators(
        'import gpu_report, importlib.util, torch, simipu, simipu.models, mmcv.ops\n'
        'from simipu.ops.backend import mmcv_has_cuda_ops\n'
        'assert not mmcv_has_cuda_ops() and importlib.util.find_spec("mmcv._ext").loader is None\n'
        'mmcv.ops.nms(torch.rand(2, 4), torch.rand(2), 0.5)')
    assert done.stderr.splitlines()[-1].startswith(
        'simipu.errors.DependencyError: this needs nms, one of the compiled operators of mmcv'), done.stderr
