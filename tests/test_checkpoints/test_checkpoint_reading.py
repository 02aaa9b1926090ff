"""Every kind of file is read safely, or refused with a message that says what to do."""
import pickle
import re

import pytest
import torch

from simipu.checkpoints import read_checkpoint, read_state_dict
from simipu.errors import CheckpointError

TENSORS = {'a.weight': torch.arange(6.).reshape(2, 3), 'b.bias': torch.ones(2)}


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
    state_dict, meta = read_checkpoint(training_checkpoint)
    assert 'img_backbone.layer4.1.conv2.weight' in state_dict
    assert meta['iter'] == 2


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
