"""Frames whose files are missing or broken, inside a set that is otherwise good."""
import shutil

import pytest
import torch
from mmengine.dataset import pseudo_collate

from simipu.datasets import PairedDataset
from simipu.datasets.bad_frames import BadFrameCounter
from simipu.datasets.converters import create_kitti_infos
from simipu.errors import DataError
from simipu.seeding import SeededIndex

NUM_FRAMES = 40
PIPELINE = [dict(type='LoadPairedPoints', load_dim=4), dict(type='LoadPairedImages'),
            dict(type='SamplePoints', num_points=10), dict(type='PackPairedInputs')]


@pytest.fixture
def folder(tiny_kitti):
    """Forty copies of one frame; numbers 3, 7 and 20 are damaged once the info file is written."""
    names = [f'{i:06d}' for i in range(NUM_FRAMES)]
    for name in names[2:]:
        for path in ('image_2/{}.png', 'velodyne/{}.bin', 'calib/{}.txt'):
            source = tiny_kitti / 'training' / path.format('000000')
            shutil.copy(source, tiny_kitti / 'training' / path.format(name))
    (tiny_kitti / 'ImageSets/train.txt').write_text('\n'.join(names))
    create_kitti_infos(tiny_kitti, tiny_kitti)
    (tiny_kitti / 'training/image_2/000003.png').write_bytes(b'no image')
    (tiny_kitti / 'training/velodyne/000007.bin').unlink()
    (tiny_kitti / 'training/velodyne/000020.bin').write_bytes(b'cut')
    return tiny_kitti


def build(folder, **kwargs) -> PairedDataset:
    return PairedDataset('simipu_infos_train.pkl', data_root=str(folder), pipeline=PIPELINE,
                         **kwargs)


def test_default_is_an_error_that_names_the_frame_and_the_file(folder):
    dataset = build(folder)
    assert dataset[2]
    for index, file in ((3, '000003.png: expected an image'), (7, 'no file .*000007.bin'),
                        (20, '000020.bin: 3 bytes')):
        with pytest.raises(DataError, match=f'frame {index} of .*train.pkl: .*{file}'):
            dataset[index]


@pytest.mark.parametrize('test_mode', [False, True])
def test_skipped_frames_are_counted_logged_and_replaced(folder, test_mode, monkeypatch):
    logged = []
    monkeypatch.setattr('simipu.datasets.bad_frames.print_log',
                        lambda message, **kwargs: logged.append(message))
    dataset = build(folder, on_bad_frame='skip', max_bad_share=0.5, test_mode=test_mode)
    samples = [dataset[i]['data_samples'] for i in range(NUM_FRAMES)]
    paths = [sample.lidar_path for sample in samples]
    assert not any(name in path for path in paths for name in ('000003', '000007', '000020'))
    assert [path[-10:-4] for path in paths[:3]] == ['000000', '000001', '000002']
    assert dataset.bad_frames.num_bad >= 3
    assert dataset.bad_frames.num_frames == NUM_FRAMES + dataset.bad_frames.num_bad
    assert len(logged) == 3  # each bad frame once
    assert 'frame 3 of' in logged[0] and 'in this process' in logged[0]


def test_a_search_for_a_good_frame_ends(monkeypatch):
    monkeypatch.setattr('simipu.datasets.bad_frames.print_log', lambda *args, **kwargs: None)
    counter = BadFrameCounter(1.0, 'infos.pkl')
    with pytest.raises(DataError, match='infos.pkl: 1000 bad frames in a row'):
        for number in range(2000):
            counter.add_bad(number, DataError('no file'))
    assert counter.num_bad == 1000


def test_the_same_sample_is_replaced_by_the_same_frame(folder):
    def sample(seed):
        dataset = build(folder, on_bad_frame='skip')
        torch.rand(seed)  # whatever was drawn before
        return dataset[SeededIndex(3, seed)]

    first, again = sample(5), sample(5)
    assert first['data_samples'].lidar_path == again['data_samples'].lidar_path
    assert torch.equal(first['inputs']['points'], again['inputs']['points'])
    assert len({sample(seed)['data_samples'].lidar_path for seed in range(8)}) > 3


def test_too_many_bad_frames_stop_the_run(folder):
    for path in sorted((folder / 'training/image_2').iterdir())[:30]:
        path.write_bytes(b'')
    dataset = build(folder, on_bad_frame='skip', max_bad_share=0.2)
    with pytest.raises(DataError, match=r'10 of the first \d+ frames.*than max_bad_share=20.0%'):
        for i in range(NUM_FRAMES):
            dataset[i]
    assert build(folder, on_bad_frame='skip', max_bad_share=0.95)[0]


def test_every_worker_counts_for_itself(folder):
    dataset = build(folder, on_bad_frame='skip', max_bad_share=0.5)
    dataset.full_init()
    loader = torch.utils.data.DataLoader(dataset, batch_size=4, num_workers=2,
                                         collate_fn=pseudo_collate)
    assert sum(len(batch['data_samples']) for batch in loader) == NUM_FRAMES
    assert dataset.bad_frames.num_frames == 0  # the workers' counts stay with them


def test_only_bad_data_is_skipped(folder):
    dataset = build(folder, on_bad_frame='skip')
    dataset.pipeline.transforms.insert(2, lambda results: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        dataset[0]
    with pytest.raises(ValueError, match="must be 'error' or 'skip', not 'ignore'"):
        build(folder, on_bad_frame='ignore')
