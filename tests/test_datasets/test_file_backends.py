"""Every read goes through MMEngine's file backends: a backend of one's own, and HTTP."""
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from mmengine.fileio import BaseStorageBackend, register_backend

from simipu.datasets import PairedDataset
from simipu.datasets.converters import create_kitti_infos
from simipu.datasets.readers.fetching import fetch
from simipu.errors import DataError


class ArchiveBackend(BaseStorageBackend):
    """Files in a dict in memory, as a stand-in for LMDB, S3 and the like."""
    files: dict = {}

    def get(self, filepath) -> bytes:
        return self.files[str(filepath)]

    def get_text(self, filepath, encoding='utf-8') -> str:
        return self.get(filepath).decode(encoding)


register_backend('archive', ArchiveBackend, force=True)


def dataset(data_root: str, backend_args) -> PairedDataset:
    return PairedDataset(
        'simipu_infos_train.pkl', data_root=data_root, backend_args=backend_args, pipeline=[
            dict(type='LoadPairedPoints', backend_args=backend_args),
            dict(type='LoadPairedImages', backend_args=backend_args),
            dict(type='PackPairedInputs')])


def assert_same(found: dict, expected: dict) -> None:
    assert torch.equal(found['inputs']['points'], expected['inputs']['points'])
    assert torch.equal(found['inputs']['img'][0], expected['inputs']['img'][0])


@pytest.fixture
def stored(tiny_kitti) -> Path:
    create_kitti_infos(tiny_kitti, tiny_kitti)
    return tiny_kitti


def test_a_backend_of_ones_own(stored, monkeypatch):
    on_disk = [dataset(str(stored), None)[i] for i in range(2)]
    files = {f'/archive/{path.relative_to(stored)}': path.read_bytes()
             for path in stored.rglob('*') if path.is_file()}
    monkeypatch.setattr(ArchiveBackend, 'files', files)
    archived = dataset('/archive', dict(backend='archive'))
    for index in range(2):
        assert_same(archived[index], on_disk[index])


@pytest.mark.parametrize('path', ['petrel://bucket/a', 'unknown://a', 'archive/file:///a'])
def test_an_address_that_no_backend_reads_is_named(path):
    with pytest.raises(DataError, match=f'{path} cannot be read'):
        fetch(path, None, 'which the info file names')


class _Quiet(SimpleHTTPRequestHandler):

    def log_message(self, *args) -> None:
        pass


def test_http(stored):
    on_disk = dataset(str(stored), None)[1]
    server = ThreadingHTTPServer(('127.0.0.1', 0), partial(_Quiet, directory=str(stored)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        root = f'http://127.0.0.1:{server.server_port}'
        assert_same(dataset(root, dict(backend='http'))[1], on_disk)
        assert_same(dataset(root, None)[1], on_disk)  # by the prefix of the path
    finally:
        server.shutdown()
        server.server_close()
