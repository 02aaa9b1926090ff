"""Every kind of file is read safely, or refused with a message that says what to do."""
import pickle
import re
import sys

import pytest
import torch
from mmdet3d.registry import MODELS
from mmengine.hooks import EMAHook
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope
from mmengine.runner import CheckpointLoader, Runner
from torch import nn

from simipu.checkpoints import read_checkpoint, read_state_dict
from simipu.errors import CheckpointError, DependencyError

TENSORS = {'a.weight': torch.arange(6.).reshape(2, 3), 'b.bias': torch.ones(2)}


class TinyPretraining(BaseModel):
    """A single weight that each step changes."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2))

    def forward(self, inputs, data_samples=None, mode='loss'):
        return dict(loss=(self.weight * inputs[0]).sum())


def wrapped() -> dict:
    """As models are saved that were trained in several processes."""
    return {f'module.{key}': value for key, value in TENSORS.items()}


@pytest.mark.parametrize('content', [TENSORS, {'state_dict': TENSORS, 'meta': {'epoch': 3}},
                                     {'model': TENSORS, 'optimizer': {'lr': 0.1}}])
@pytest.mark.parametrize('zipped', [True, False])
def test_state_dict_is_found_in_every_container(tmp_path, content, zipped):
    path = tmp_path / 'weights.pth'
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    tensors = read_state_dict(path)
    assert tensors.keys() == TENSORS.keys()
    assert all(torch.equal(tensors[key], TENSORS[key]) for key in TENSORS)


def test_training_checkpoint_of_mmengine_is_read_with_its_meta(training_checkpoint):
    state_dict, meta, container, wrapper = read_checkpoint(training_checkpoint)
    assert 'img_backbone.layer4.1.conv2.weight' in state_dict
    assert meta['iter'] == 2 and (container, wrapper) == ('state_dict', '')


@pytest.mark.parametrize('content, container', [
    (wrapped(), ''), ({'state_dict': wrapped()}, 'state_dict'),
    ({'ema_state_dict': {**wrapped(), 'steps': torch.tensor(7)}, 'meta': {}}, 'ema_state_dict')])
def test_wrappers_are_taken_off(tmp_path, content, container):
    torch.save(content, tmp_path / 'weights.pth')
    found = read_checkpoint(tmp_path / 'weights.pth')
    assert all(torch.equal(found.state_dict[key], value) for key, value in TENSORS.items())
    assert (found.container, found.wrapper) == (container, 'module.')


def test_moving_average_that_mmengine_saved_is_what_is_read(tmp_path):
    """It writes the average to `state_dict`, and the weights that were trained beside it."""
    with DefaultScope.overwrite_default_scope('mmengine'):
        runner = Runner(
            model=TinyPretraining(), work_dir=str(tmp_path), experiment_name=tmp_path.name,
            train_dataloader=dict(dataset=[dict(inputs=torch.ones(2))] * 2, batch_size=1, num_workers=0,
                                  sampler=dict(type='DefaultSampler', shuffle=False)),
            train_cfg=dict(by_epoch=False, max_iters=2), custom_hooks=[dict(type='EMAHook', momentum=0.1)],
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=1.0)),
            default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=2, by_epoch=False)))
        runner.train()
    average = next(hook for hook in runner.hooks if isinstance(hook, EMAHook)).ema_model.module
    trained = runner.model.weight
    assert not torch.equal(average.weight, trained)
    assert torch.equal(read_state_dict(tmp_path / 'iter_2.pth')['weight'], average.weight.cpu())


def test_versions_of_modules_are_kept(tmp_path):
    """mmdet3d's sparse convolutions turn the kernels of files without them, taking these to be mmcv's."""
    pytest.importorskip('spconv', reason='needs spconv')
    with DefaultScope.overwrite_default_scope('mmdet3d'):
        layers = [MODELS.build(dict(type='SubMConv3d', in_channels=4, out_channels=8, kernel_size=3)) for _ in '12']
    first, second = map(nn.Sequential, layers)
    torch.save(dict(state_dict=first.state_dict()), tmp_path / 'weights.pth')
    second.load_state_dict(read_state_dict(tmp_path / 'weights.pth'))
    assert torch.equal(first[0].weight, second[0].weight)


def test_safetensors_are_read_here_and_by_mmengine(tmp_path):
    save_file = pytest.importorskip('safetensors.torch').save_file
    path = tmp_path / 'weights.safetensors'
    save_file(TENSORS, path)
    for found in (read_state_dict(path), CheckpointLoader.load_checkpoint(str(path), map_location='cpu')):
        assert found.keys() == TENSORS.keys() and all(torch.equal(found[key], TENSORS[key]) for key in TENSORS)
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(CheckpointError, match='weights.safetensors is not a readable safetensors file'):
        read_state_dict(path)


def test_safetensors_that_is_not_installed_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'safetensors', None)
    (tmp_path / 'weights.safetensors').write_bytes(b'x')
    with pytest.raises(DependencyError, match=r'weights.safetensors needs safetensors; run: pip install safetensors$'):
        read_state_dict(tmp_path / 'weights.safetensors')


def test_missing_file_is_named(tmp_path):
    with pytest.raises(CheckpointError, match='no checkpoint .*nothing.pth; check the path'):
        read_state_dict(tmp_path / 'nothing.pth')


def test_folder_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match='is a folder; give the checkpoint file in it'):
        read_state_dict(tmp_path)


def test_empty_file_is_refused(tmp_path):
    path = tmp_path / 'empty.pth'
    path.touch()
    with pytest.raises(CheckpointError, match=r'empty.pth is empty \(0 bytes\).*download it again'):
        read_state_dict(path)


@pytest.mark.parametrize('size', [10, 200, 1000])
def test_truncated_file_is_refused(tmp_path, size):
    path = tmp_path / 'cut.pth'
    torch.save(TENSORS, path)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(CheckpointError, match='cut.pth is not a .*PyTorch checkpoint'):
        read_state_dict(path)


def test_text_file_is_refused(tmp_path):
    path = tmp_path / 'weights.pth'
    path.write_text('<html>404 not found</html>')
    with pytest.raises(CheckpointError, match='weights.pth is not a .*PyTorch checkpoint'):
        read_state_dict(path)


@pytest.mark.parametrize('content, found', [
    ([torch.ones(1)], 'holds a list'),
    (torch.ones(1), 'holds a Tensor'),
    ({}, 'holds no tensors'),
    ({'state_dict': {}}, 'holds no tensors'),
    ({'epoch': 3}, "entry 'epoch' is a int"),
    ({'state_dict': {'net': {'weight': torch.ones(1)}}}, "entry 'net' is a dict"),
])
def test_files_without_a_state_dict_are_refused(tmp_path, content, found):
    path = tmp_path / 'other.pth'
    torch.save(content, path)
    with pytest.raises(CheckpointError, match=f'{re.escape(str(path))} .*{found}'):
        read_state_dict(path)


class Malicious:
    """Unpickling it creates a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), 'w')


def test_code_in_a_file_is_never_run(tmp_path):
    path, trace = tmp_path / 'evil.pth', tmp_path / 'trace'
    torch.save({'state_dict': TENSORS, 'meta': Malicious(trace)}, path)
    with pytest.raises(CheckpointError, match='holds Python objects .*open.*save only its tensors'):
        read_state_dict(path)
    assert not trace.exists()
    pickle.loads(pickle.dumps(Malicious(trace)))  # the file would indeed have run it
    assert trace.exists()


@pytest.mark.parametrize('address', ['http://nowhere.invalid/evil.pth', 'torchvision://evil'])
def test_code_in_a_downloaded_file_is_never_run(tmp_path, monkeypatch, address):
    """PyTorch takes a file of that name that was downloaded before."""
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    monkeypatch.setattr('mmengine.runner.checkpoint.get_torchvision_models',
                        lambda: dict(evil='http://nowhere.invalid/evil.pth'))
    path, trace = tmp_path / 'hub' / 'checkpoints' / 'evil.pth', tmp_path / 'trace'
    path.parent.mkdir(parents=True)
    torch.save({'state_dict': TENSORS, 'meta': Malicious(trace)}, path)
    with pytest.raises(CheckpointError, match='http://nowhere.invalid/evil.pth holds Python objects .*open'):
        CheckpointLoader.load_checkpoint(address)
    assert not trace.exists()
    torch.save({'state_dict': TENSORS}, path)
    assert CheckpointLoader.load_checkpoint(address)['state_dict'].keys() == TENSORS.keys()


def test_the_function_that_a_file_would_call_is_named(tmp_path):
    """PyTorch words this otherwise for a few modules."""
    (tmp_path / 'evil.pth').write_bytes(b'\x80\x02cposix\nsystem\nX\x04\x00\x00\x00true\x85R.')
    with pytest.raises(CheckpointError, match='holds Python objects .*posix.system'):
        read_state_dict(tmp_path / 'evil.pth')


def test_a_bit_that_changed_is_found_by_the_checksum(tmp_path):
    """torch.load reads such a file without a word."""
    path = tmp_path / 'iter_2.pth'
    torch.save({'img_backbone.weight': torch.arange(3000.)}, path)
    content = bytearray(path.read_bytes())
    content[content.index(torch.arange(3000.).numpy().tobytes()) + 400] ^= 1
    path.write_bytes(content)
    torch.load(path, weights_only=True)
    with pytest.raises(CheckpointError, match='iter_2.pth is damaged: the checksum of iter_2/data/0 is wrong. Copy'):
        read_checkpoint(path)
