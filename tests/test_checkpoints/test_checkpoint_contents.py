"""Parts of checkpoints that are not what those who load them take for granted."""
import os
from pathlib import Path

import pytest
import torch
from mmdet.models import ResNet
from mmengine.runner import CheckpointLoader

from simipu.checkpoints.contents import check_shapes, wrong_optimizer_state
from simipu.checkpoints.reading import read_checkpoint, read_training_checkpoint
from simipu.errors import CheckpointError

WEIGHT = torch.rand(4, 3)


def saved(path: Path, content) -> Path:
    torch.save(content, path)
    return path


@pytest.mark.parametrize('value, problem', [
    (WEIGHT.int(), 'is of type torch.int32'), (WEIGHT > 0, 'is of type torch.bool'),
    (WEIGHT + 1j, 'is of type torch.complex64'), (WEIGHT.to_sparse(), 'is of type torch.float32, sparse'),
    (torch.zeros(2, 3, device='meta'), 'holds no values'),
    (torch.zeros(1).expand(10**9), 'claims 1000000000 values, more than the file holds')])
@pytest.mark.parametrize('read', [read_checkpoint, CheckpointLoader.load_checkpoint])
def test_tensors_that_no_layer_takes(tmp_path, value, problem, read):
    path = saved(tmp_path / 'a.pth', dict(state_dict={'layer.weight': value}))
    with pytest.raises(CheckpointError, match=f'a.pth: tensor layer.weight {problem}'):
        read(str(path))


def test_variances_are_not_negative(tmp_path):
    path = saved(tmp_path / 'a.pth', {'bn1.running_var': torch.tensor([1., -1])})
    with pytest.raises(CheckpointError, match='a.pth: tensor bn1.running_var holds negative variances'):
        read_checkpoint(path)


@pytest.mark.parametrize('value', [WEIGHT.half(), WEIGHT.double(), WEIGHT.bfloat16()])
def test_other_precisions_are_taken(tmp_path, value):
    path = saved(tmp_path / 'a.pth', {'layer.weight': value, 'layer.num_batches_tracked': torch.tensor(3)})
    assert read_checkpoint(path).state_dict['layer.weight'].dtype == value.dtype


def test_what_mmengine_loads_is_checked_as_everywhere(tmp_path):
    path = tmp_path / 'a.pth'
    content = bytearray(saved(path, dict(state_dict=dict(a=torch.ones(1000)))).read_bytes())
    content[content.index(torch.ones(1000).numpy().tobytes())] ^= 1
    path.write_bytes(content)
    assert torch.load(path)['state_dict']['a'][0] != 1, 'PyTorch itself does not see it'
    with pytest.raises(CheckpointError, match='a.pth is damaged: the checksum'):
        CheckpointLoader.load_checkpoint(str(path))


@pytest.mark.parametrize('content, message', [
    (b'version https://git-lfs.github.com/spec/v1\nsize 4000000\n', 'is a pointer of Git LFS, not the file of 4.0 MB'),
    (b'my weights', 'is not a PyTorch checkpoint'), (b'', 'is empty')])
def test_files_that_are_none(tmp_path, content, message):
    path = tmp_path / 'a.pth'
    path.write_bytes(content)
    for read in (read_checkpoint, CheckpointLoader.load_checkpoint):
        with pytest.raises(CheckpointError, match=message):
            read(str(path))


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / 'a.pth')
    with pytest.raises(CheckpointError, match='a.pth is a pipe'):
        read_checkpoint(tmp_path / 'a.pth')


def test_the_program_in_old_checkpoints_of_mmengine_is_left_out(tmp_path):
    """While resuming, MMEngine 0.10.7 would read ``meta['config']`` as a config, and so run it."""
    path = saved(tmp_path / 'a.pth', dict(state_dict=dict(a=WEIGHT), meta=dict(config='import os', iter=3)))
    assert CheckpointLoader.load_checkpoint(str(path))['meta'] == dict(iter=3)


@pytest.mark.parametrize('place', ['', 'layer1.0.'])
def test_a_lost_convolution_is_named(place):
    weights = ResNet(18, base_channels=4).state_dict()
    del weights[f'{place}conv1.weight']
    with pytest.raises(CheckpointError, match=f'a.pth: no tensor {place}conv1.weight, but its normalisation'):
        check_shapes(weights, Path('a.pth'))


@pytest.mark.parametrize('change', [torch.flatten, torch.sum, lambda weight: weight.permute(2, 3, 0, 1),
                                    lambda weight: weight[:3]])
@pytest.mark.parametrize('layer', ['conv1', 'layer1.0.conv2', 'layer2.0.downsample.0'])
def test_convolutions_that_do_not_fit_their_normalisation(change, layer):
    weights = ResNet(18, base_channels=4).state_dict()
    check_shapes(weights, Path('a.pth'))
    weights[f'{layer}.weight'] = change(weights[f'{layer}.weight'])
    with pytest.raises(CheckpointError, match=f'a.pth: tensor {layer}.weight is of shape .*, its normalisation of'):
        check_shapes(weights, Path('a.pth'))


def training(**changes):
    optimizer = dict(state={0: dict(momentum_buffer=WEIGHT)}, param_groups=[dict(lr=1, params=[0])])
    hub = dict(log_scalars={}, runtime_info={}, resumed_keys={})
    content = dict(state_dict=dict(a=WEIGHT), meta=dict(epoch=1, iter=5), optimizer=optimizer, message_hub=hub,
                   param_schedulers=[dict(last_step=5)])
    return {key: value for key, value in dict(content, **changes).items() if value is not None}


@pytest.mark.parametrize('changes, message', [
    (dict(optimizer=None), 'found no optimizer; a training can only be resumed from'),
    (dict(meta=dict(epoch=1, iter='five')), 'its meta is damaged; expected a dict with the numbers epoch and iter'),
    (dict(meta=dict(epoch=-1, iter=5)), 'its meta is damaged'), (dict(meta=[1]), 'its meta is damaged'),
    (dict(optimizer=[]), 'its optimizer is damaged'), (dict(optimizer={}), 'its optimizer is damaged'),
    (dict(optimizer=dict(state={}, param_groups=[5])), 'its optimizer is damaged'),
    (dict(param_schedulers=[5]), 'its param_schedulers is damaged'),
    (dict(message_hub={}), 'its message_hub is damaged')])
def test_what_a_training_cannot_be_resumed_from(tmp_path, changes, message):
    with pytest.raises(CheckpointError, match=message):
        read_training_checkpoint(saved(tmp_path / 'a.pth', training(**changes)))


def test_a_training_can_be_resumed_from_what_mmengine_writes(tmp_path, training_checkpoint):
    assert read_training_checkpoint(saved(tmp_path / 'a.pth', training()))['meta']['iter'] == 5
    assert read_training_checkpoint(training_checkpoint)['meta']['iter'] == 2


@pytest.mark.parametrize('value, problem', [
    (torch.rand(4, 3), None), (torch.rand(1, 3), 'is of shape'), (torch.full((4, 3), torch.nan), 'holds NaN'),
    ('text', 'is a str; expected a tensor')])
def test_state_that_an_optimizer_cannot_go_on_from(value, problem):
    optimizer = torch.optim.SGD([torch.nn.Parameter(WEIGHT)], lr=1, momentum=0.9)
    assert wrong_optimizer_state(optimizer) == 'it holds no momentum'
    optimizer.load_state_dict(dict(optimizer.state_dict(), state={0: dict(momentum_buffer=value)}))
    found = wrong_optimizer_state(optimizer)
    assert found is None if problem is None else problem in found
