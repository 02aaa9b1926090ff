"""Which errors are shown as a message alone."""
import pytest
from mmengine.registry import Registry
from torch.utils.data import DataLoader

from simipu import config_check, errors
from simipu.config_check import ConfigError


def caught(function, *args, **kwargs):
    with pytest.raises(Exception) as info:
        function(*args, **kwargs)
    return info.value


def raise_ours(*args, **kwargs):
    config_check.check_typed_dict(5, None, 'model')


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


def test_own_errors_that_a_registry_raises_anew():
    registry = Registry('things', scope='simipu')
    registry.register_module(module=Refuses)
    assert errors.user_message(caught(registry.build, dict(type='Refuses'))) == MESSAGE


@pytest.mark.parametrize('workers', [0, 1])
def test_own_errors_in_the_data_loader(workers):
    error = caught(list, DataLoader(RefusesSamples(), num_workers=workers))
    assert isinstance(error, ConfigError)
    assert errors.user_message(error) == MESSAGE


@pytest.mark.parametrize('function, args', [
    (config_check.accepted_arguments, ()),  # a call of ours that is wrong
    (int, ('x',)),  # an error of others
    (config_check.check_config, (None,)),  # a fault within our code
])
def test_faults_of_the_program_keep_their_traceback(function, args):
    assert errors.user_message(caught(function, *args)) is None
