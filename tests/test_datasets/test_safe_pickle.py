"""Info files are data: reading one must not run code."""
import os
import pickle

import mmengine
import numpy as np
import pytest

from simipu.datasets import PairedDataset
from simipu.datasets.readers.safe_pickle import load_pickle
from simipu.errors import DataError

PLAIN = dict(metainfo=dict(version=(1, None, True)), data_list=[dict(
    matrix=np.arange(12.0).reshape(3, 4), text='für', number=np.float32(0.1), names=np.array(['a', 'b']),
    fortran=np.asfortranarray(np.eye(3)), swapped=np.arange(3, dtype='>f8'), empty=np.zeros((0, 4), np.uint8),
    cameras={'CAM2'}, raw=b'\0\1')])


class RunsCode:

    def __reduce__(self):
        return os.mkdir, ('made_by_a_pickle', )


@pytest.mark.parametrize('protocol', range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_plain_data_of_every_protocol(protocol):
    found = load_pickle(pickle.dumps(PLAIN, protocol), 'infos.pkl')
    np.testing.assert_equal(found, PLAIN)


def test_module_names_of_numpy_2():
    content = pickle.dumps(PLAIN, 2)
    newer = content.replace(b'numpy.core.multiarray', b'numpy._core.multiarray')
    np.testing.assert_equal(load_pickle(newer, 'infos.pkl'), PLAIN)
    older = newer.replace(b'numpy._core.multiarray', b'numpy.core.multiarray')
    np.testing.assert_equal(load_pickle(older, 'infos.pkl'), PLAIN)


@pytest.mark.parametrize('content, message', [
    (pickle.dumps([RunsCode()]), 'mkdir, which could run code'),
    (pickle.dumps([eval]), 'builtins.eval, which could run code'),
    (pickle.dumps(pytest.raises), 'which could run code'),
    (pickle.dumps(PLAIN)[:-9], 'write the file again'),
    (b'', 'write the file again'),
    (b'<html>not found</html>', 'write the file again'),
])
def test_anything_else_is_one_line(content, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=f'infos.pkl: expected a pickle of dicts.*{message}') as error:
        load_pickle(content, 'infos.pkl')
    assert '\n' not in str(error.value) and not os.listdir(tmp_path)


def test_an_info_file_that_would_run_code_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mmengine.dump(dict(data_list=[RunsCode()]), tmp_path / 'infos.pkl')
    with pytest.raises(DataError, match='infos.pkl: .*could run code'):
        PairedDataset(str(tmp_path / 'infos.pkl'))
    assert os.listdir(tmp_path) == ['infos.pkl']
