"""The mispaired control: the cloud is another frame's, all else the image's own."""
from pathlib import Path

import cv2
import mmengine
import numpy as np
import pytest

from simipu.datasets import MispairedDataset
from simipu.errors import DataError
from simipu.seeding import SeededIndex

NUM_FRAMES = 4
PIPELINE = [dict(type='LoadPairedPoints', load_dim=4, use_dim=4), dict(type='LoadPairedImages'),
            dict(type='PackPairedInputs')]


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    """In frame i every pixel, the points' intensity, and an entry of the calibration are i."""
    infos = []
    for i in range(NUM_FRAMES):
        cv2.imwrite(str(tmp_path / f'{i}.png'), np.full((4, 6, 3), i, np.uint8))
        np.full((5, 4), [1, 2, 3, i], np.float32).tofile(tmp_path / f'{i}.bin')
        calibration = np.eye(4)
        calibration[0, 2] = i
        infos.append(dict(sample_idx=i, lidar_points=dict(lidar_path=f'{i}.bin'),
                          images=dict(CAM=dict(img_path=f'{i}.png', lidar2img=calibration.tolist()))))
    mmengine.dump(dict(metainfo={}, data_list=infos), tmp_path / 'infos.pkl')
    return tmp_path


def mispaired(root: Path, **kwargs) -> MispairedDataset:
    return MispairedDataset('infos.pkl', data_root=str(root), pipeline=PIPELINE, **kwargs)


def numbers(item: dict) -> tuple[int, int, int]:
    """Of which frame image, calibration and cloud are."""
    sample = item['data_samples']
    return (int(item['inputs']['img'][0][0, 0, 0]), int(sample.lidar2img[0, 0, 2]),
            int(item['inputs']['points'][0, 3]))


def test_every_other_cloud_and_never_the_own(frames):
    dataset = mispaired(frames)
    np.random.seed(0)
    seen = [[numbers(dataset[i]) for _ in range(40)] for i in range(NUM_FRAMES)]
    for i, visits in enumerate(seen):
        assert {visit[:2] for visit in visits} == {(i, i)}
        assert {visit[2] for visit in visits} == set(range(NUM_FRAMES)) - {i}


def test_the_draw_follows_the_seed_of_the_sample(frames):
    dataset = mispaired(frames)
    first = [numbers(dataset[SeededIndex(0, seed)]) for seed in range(20)]
    assert first == [numbers(dataset[SeededIndex(0, seed)]) for seed in range(20)]
    assert len(set(first)) == NUM_FRAMES - 1


def test_a_single_frame_is_refused(frames):
    with pytest.raises(DataError, match='infos.pkl: 1 frame.*at least 2'):
        mispaired(frames, indices=1)[0]
