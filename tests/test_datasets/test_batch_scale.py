"""Images of a batch have one size, whatever loads them."""
import pytest
from mmdet3d.registry import DATASETS
from mmengine.dataset import pseudo_collate
from mmengine.registry import DefaultScope
from torch.utils.data import DataLoader

from simipu.datasets.converters import create_kitti_infos
from simipu.engine import ResumableSampler
from simipu.scenes import generate_dataset


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp('frames')
    generate_dataset(root, num_frames=8, seed=0, image_size=(96, 32), num_workers=1, val_fraction=0.)
    create_kitti_infos(root, root, num_workers=1)
    return root


def image_sizes(folder, num_workers=0, **resize):
    """The sizes of the images of each batch of an epoch."""
    with DefaultScope.overwrite_default_scope('mmdet3d'):
        dataset = DATASETS.build(dict(
            type='PairedDataset', data_root=str(folder), ann_file='simipu_infos_train.pkl', pipeline=[
                dict(type='LoadPairedPoints'), dict(type='LoadPairedImages'),
                dict(type='ResizeImages', scale=[(60, 20), (300, 100)], **resize), dict(type='PackPairedInputs')]))
    sampler = ResumableSampler(dataset, seed=0)
    sampler.batch_size = 4
    loader = DataLoader(dataset, 4, sampler=sampler, num_workers=num_workers, collate_fn=pseudo_collate)
    return [[tuple(sample.img_shape[0]) for sample in batch['data_samples']] for batch in loader]


def test_images_of_a_batch_have_one_size(folder):
    first, second = image_sizes(folder)
    assert len(set(first)) == len(set(second)) == 1 and first != second


def test_workers_make_no_difference(folder):
    assert image_sizes(folder, num_workers=3) == image_sizes(folder)


def test_the_original_draws_a_size_for_each_frame(folder):
    assert all(len(set(batch)) == 4 for batch in image_sizes(folder, share_in_batch=False))
