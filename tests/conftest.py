"""Fixtures shared by all tests."""
import os
import sys
from pathlib import Path

import pytest
import torch

DEVICES = ['cpu', 'cuda'] if torch.cuda.is_available() else ['cpu']
if 'cuda' not in DEVICES:  # Triton kernels then run in its interpreter; read when Triton is imported
    os.environ['TRITON_INTERPRET'] = '1'

import simipu  # noqa: F401  (before mmdet3d, which it lets be imported beside an mmcv without operators)

PROJECT = Path(__file__).resolve().parents[1]
collect_ignore = ['fuzz'] if sys.version_info < (3, 11) else []  # which asks for StrEnum and contextlib.chdir


def _shared_folder(variable: str, default: Path) -> Path:
    """The folder that ``variable`` names, else ``default``; skips the test where neither is there."""
    folder = Path(os.environ.get(variable, default))
    if not folder.is_dir():
        pytest.skip(f'no folder {folder}; set {variable} to run this test')
    return folder


@pytest.fixture(params=DEVICES)
def device(request):
    """Each device that there is; inside, tensors are made on it where nothing else is said.

    Convolutions are as exact as on a CPU: CUDA would round single precision to TF32.
    """
    with torch.device(request.param), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield request.param


@pytest.fixture
def on_the_cpu(monkeypatch):
    """What MMEngine says is the device, also where there is a GPU, on which equal trainings differ by rounding."""
    monkeypatch.setattr('mmengine.device.utils.DEVICE', 'cpu')


@pytest.fixture(autouse=True)
def nothing_is_left_behind_in_mmengine():
    """Forget what a Runner leaves in globals of MMEngine.

    Its ``default_scope``, where the next test would look up its types; its logger, which keeps the stream that it was
    made with, closed after its test; its visualizer, which would write into a folder that is gone; its history, to
    which a test with a folder of the same name would add. The tables are replaced, not refilled:
    ``DefaultScope.overwrite_default_scope`` leaves another one than it found.
    """
    from mmengine.logging import MessageHub, MMLogger
    from mmengine.registry import DefaultScope
    from mmengine.visualization import Visualizer

    before = [(manager, manager._instance_dict.copy())
              for manager in (DefaultScope, MessageHub, MMLogger, Visualizer)]
    yield
    for manager, instances in before:
        manager._instance_dict = instances


@pytest.fixture
def mmdet3d_scope():
    """Look types up in mmdet3d's registry, as a config's ``default_scope`` does."""
    from mmengine.registry import DefaultScope

    with DefaultScope.overwrite_default_scope('mmdet3d'):
        yield


@pytest.fixture(scope='session')
def real_data() -> Path:
    """Folder with real frames: ``kitti/`` (four frames) and ``nuscenes/`` (one keyframe)."""
    return _shared_folder('SIMIPU_REAL_DATA', PROJECT.parent / 'shared' / 'real_data')


@pytest.fixture(scope='session')
def reference() -> Path:
    """Folder with the recorded results of the original implementation."""
    return _shared_folder('SIMIPU_REFERENCE', PROJECT.parent / 'shared' / 'reference')


@pytest.fixture(scope='session')
def mmdet3d_kitti(tmp_path_factory) -> Path:
    """Three synthetic KITTI frames and one for testing, gone through mmdet3d's whole preparation."""
    import mmdet3d
    from mmengine.registry import DefaultScope

    from simipu.scenes import generate_dataset

    root = tmp_path_factory.mktemp('kitti') / 'data'
    generate_dataset(root, 3, seed=2, image_size=(192, 64), num_workers=1, val_fraction=0.34)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(mmdet3d.__file__).parent / '.mim'))
        patch.setattr(sys, 'argv', ['create_data.py', 'kitti'])  # parsed when imported
        from tools.dataset_converters import update_infos_to_v2

        from tools import create_data
        patch.setattr(update_infos_to_v2.time, 'sleep', lambda seconds: None)  # before overwriting
        with DefaultScope.overwrite_default_scope('mmdet3d'):
            create_data.kitti_data_prep(str(root), 'kitti', 'v1.0', str(root))
    return root
