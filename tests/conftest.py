"""Fixtures shared by all tests."""
import os
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]


def _shared_folder(variable: str, default: Path) -> Path:
    """The folder that ``variable`` names, else ``default``; skips the test where neither is there."""
    folder = Path(os.environ.get(variable, default))
    if not folder.is_dir():
        pytest.skip(f'no folder {folder}; set {variable} to run this test')
    return folder


@pytest.fixture(scope='session')
def real_data() -> Path:
    """Folder with real frames: ``kitti/`` (four frames) and ``nuscenes/`` (one keyframe)."""
    return _shared_folder('SIMIPU_REAL_DATA', PROJECT.parent / 'shared' / 'real_data')


@pytest.fixture(scope='session')
def reference() -> Path:
    """Folder with the recorded results of the original implementation."""
    return _shared_folder('SIMIPU_REFERENCE', PROJECT.parent / 'shared' / 'reference')
