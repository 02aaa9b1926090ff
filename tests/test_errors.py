"""Which errors are shown as a message alone."""
import os

import mmengine
import numpy as np
import pytest
from mmengine.registry import Registry
from torch.utils.data import DataLoader

from simipu import config, errors
from simipu.datasets import PairedDataset
from simipu.datasets.transforms import LoadPairedPoints
from simipu.errors import ConfigError


def caught(function, *args, **kwargs):
    with pytest.raises(Exception) as info:
        function(*args, **kwargs)
    return info.value


def raise_ours(*args, **kwargs):
    config.check_typed_dict(5, None, 'model')


class Refuses:

    def __init__(self):
        raise_ours()

    def __len__(self):
        return 1


class RefusesSamples(Refuses):

    def __init__(self):
        pass

    def __getitem__(self, index):
        raise_ours()


MESSAGE = 'model: expected a dict with `type`, found 5'


def test_own_errors():
    assert errors.user_message(caught(raise_ours)) == MESSAGE


def raise_from_ours():
    try:
        raise_ours()
    except ConfigError as error:
        raise RuntimeError('in other words') from error


def test_own_errors_that_a_library_raises_anew():
    assert errors.user_message(caught(raise_from_ours)) == MESSAGE


def test_own_errors_in_a_constructor_that_a_registry_calls():
    registry = Registry('things', scope='simipu')
    registry.register_module(module=Refuses)
    assert errors.user_message(caught(registry.build, dict(type='Refuses'))) == MESSAGE


@pytest.mark.parametrize('workers', [0, 1])
def test_own_errors_in_the_data_loader(workers):
    error = caught(list, DataLoader(RefusesSamples(), num_workers=workers))
    assert isinstance(error, ConfigError)
    assert errors.user_message(error) == MESSAGE


@pytest.mark.parametrize('workers', [0, 1])
def test_a_bad_frame_is_one_message_though_raised_from_another_error(tmp_path, workers):
    camera = dict(img_path='a.png', height=4, width=4, lidar2img=np.eye(4))
    info = dict(sample_idx=0, images=dict(CAM=camera), lidar_points=dict(lidar_path='gone.bin'))
    mmengine.dump(dict(metainfo={}, data_list=[info]), tmp_path / 'infos.pkl')
    dataset = PairedDataset(ann_file=str(tmp_path / 'infos.pkl'), data_root=str(tmp_path),
                            pipeline=[LoadPairedPoints(load_dim=4, use_dim=4)])
    message = errors.user_message(caught(list, DataLoader(dataset, num_workers=workers)))
    assert message.startswith('frame 0 of ') and 'gone.bin' in message
    assert 'Traceback' not in message and len(message.splitlines()) == 1


@pytest.mark.parametrize('function, args, expected', [
    (open, ('/no/such/folder/a.txt', ), '/no/such/folder/a.txt: No such file or directory; check the path'),
    (open, ('/', ), '/: Is a directory; check the path'),
    (mmengine.check_file_exist, ('a.pkl', ), 'file "a.pkl" does not exist; check the path'),
    (os.mkdir, ('/dev/null/a', ), '/dev/null/a: Not a directory; check the path'),
    (os.mkdir, ('a\0b', ), 'a path holds a zero byte')])
def test_files_that_cannot_be_read_or_written_are_one_line(function, args, expected):
    assert errors.user_message(caught(function, *args)).startswith(expected)


@pytest.mark.parametrize('function, args', [
    (config.accepted_arguments, ()),  # a call of ours that is wrong
    (int, ('x',)),  # an error of others
    (config.check_config, (None,)),  # a fault within our code
])
def test_faults_of_the_program_keep_their_traceback(function, args):
    assert errors.user_message(caught(function, *args)) is None
