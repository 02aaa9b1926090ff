"""From frames to a batch."""
import pytest
import torch
from mmengine.registry import FUNCTIONS

from simipu.errors import DataError


def frame(num_cameras: int) -> dict:
    return dict(inputs=dict(points=torch.zeros(5, 4), img=[torch.zeros(3, 8, 8)] * num_cameras))


def test_another_number_of_cameras_is_refused():
    collate = FUNCTIONS.get('collate_paired_frames')
    assert len(collate([frame(2), frame(2)])['inputs']['img']) == 2
    with pytest.raises(DataError, match=r'equally many cameras, found \[1, 2\].*SampleCameras'):
        collate([frame(1), frame(2)])
