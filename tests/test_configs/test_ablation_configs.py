"""Every config of configs/ablations: what it changes of its reference, and one training step."""
import copy
import functools
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from mmdet3d.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope

from simipu.config import check_config
from simipu.datasets.converters import create_kitti_infos
from simipu.scenes import generate_dataset

ABLATIONS = Path(__file__).resolve().parents[2] / 'configs' / 'ablations'
LEVELS = {'model.img_backbone.out_indices', 'model.img_level', 'model.inter_head'}
# What each changes; the last part of the pipeline's place is the number of the transform.
CHANGES = {
    'without-intra-loss': {'model.matcher', 'model.intra_head', 'model.inter_head.detach_key'},
    'distance-limit': {'model.matcher.max_distance'},
    'mutual-nearest': {'model.matcher.type'},
    'exact-index': {'model.matcher.type', 'train_dataloader.dataset.pipeline.shuffle'},
    'detach-feature': {'model.inter_head.detach_key'},
    'no-detach': {'model.inter_head.detach_key'},
    'false-negative-radius': {'model.intra_head.loss.false_negative_radius',
                              'model.inter_head.loss.false_negative_radius'},
    'mask-same-cell': {'model.inter_head.loss.mask_same_cell'},
    'gather': {'model.intra_head.loss.gather', 'model.inter_head.loss.gather'},
    'symmetric': {'model.intra_head.loss.symmetric', 'model.inter_head.loss.symmetric'},
    'learned-temperature': {'model.intra_head.loss.learn_temperature',
                            'model.inter_head.loss.learn_temperature'},
    'inter-temperature': {'model.inter_head.loss.temperature'},
    'linear-projection': {'model.inter_head.query_projector.num_layers'},
    'narrow-projection': {'model.inter_head.query_projector.hidden_channels'},
    'queue': {'model.inter_head.queue_size'},
    'momentum-queue': {'model.inter_head.queue_size', 'model.key_momentum'},
    'use-xyz': {'model.point_encoder.use_xyz'},
    'sparse-encoder': {'model.point_encoder'},
    'half-stride': {'model.img_backbone.num_stages', 'model.img_backbone.strides',
                    'model.img_backbone.dilations', 'model.img_backbone.out_indices',
                    'model.inter_head.query_projector.in_channels'},
    'several-levels': LEVELS,
    'several-levels-fpn': LEVELS | {'model.img_neck'},
    'occlusion': {'model.occlusion'},
    'backbone-init': {'model.img_backbone.init_cfg'},
    'imagenet': {'model.img_backbone.init_cfg'}}
CASES = [(name, data) for name in CHANGES for data in ('kitti', 'synthetic')
         if (name, data) != ('imagenet', 'synthetic')]


@pytest.fixture(scope='module')
def data_root(tmp_path_factory):
    root = tmp_path_factory.mktemp('frames')
    generate_dataset(root, num_frames=2, seed=0, image_size=(192, 64), num_workers=1, val_fraction=0.)
    create_kitti_infos(root, root, num_workers=1)
    return root


@pytest.fixture(scope='module')
def load(ablations) -> Callable[[str, str], Config]:
    """Reads a row's own file, or makes its change of the small reference as benchmarks/ablations.py does."""

    @functools.cache
    def read(row: str, data: str) -> Config:
        if data == 'synthetic' and row != 'reference':
            return ablations.on_small_reference(row)
        size, schedule = ('r50', '8xb4-100e') if data == 'kitti' else ('r18', '1xb4-500iters')
        return Config.fromfile(ABLATIONS / f'simipu_{size}-{row}_{schedule}_{data}.py')

    return read


def changed_places(ours, reference, place: str) -> set[str]:
    """Dotted names of what differs; a dict that only one of both has, or of another type, is one."""
    if isinstance(ours, dict) and isinstance(reference, dict) and not (
            place == 'model.point_encoder' and ours['type'] != reference['type']):
        return set().union(*(changed_places(ours.get(key), reference.get(key), f'{place}.{key}')
                             for key in {**ours, **reference}))
    if place.endswith('.pipeline') and len(ours) == len(reference):
        return set().union(*(changed_places(*steps, place) for steps in zip(ours, reference)))
    return set() if ours == reference else {place}


def test_every_row_is_listed():
    files = {path.name for path in ABLATIONS.glob('*.py')}
    assert files == {f'simipu_r50-{row}_8xb4-100e_kitti.py' for row in (*CHANGES, 'reference')} | {
        'simipu_r18-reference_1xb4-500iters_synthetic.py'}
    readme = (ABLATIONS / 'README.md').read_text()
    assert {row for row in CHANGES if f'| `{row}` |' not in readme} == set()


@pytest.mark.parametrize('name, data', CASES)
def test_a_row_changes_what_it_says_and_no_more(name, data, load):
    ours, reference = (load(row, data) for row in (name, 'reference'))
    places = set()
    for section in ('model', 'train_dataloader', 'val_dataloader', 'val_evaluator', 'optim_wrapper',
                    'train_cfg', 'param_scheduler', 'custom_hooks'):
        places |= changed_places(ours[section], reference[section], section)
    assert places == CHANGES[name]
    check_config(ours)


def test_both_references_make_the_original_s_choices(load):
    """Whatever the default configs say, which may change."""
    for data in ('kitti', 'synthetic'):
        cfg = load('reference', data)
        model = cfg.model
        assert model.matcher == dict(type='HungarianMatcher')
        assert model.img_backbone.init_cfg == [] and model.point_encoder.use_xyz is False
        for head in (model.intra_head, model.inter_head):
            assert head.detach_key == 'projection'
            assert head.loss == dict(type='InfoNCELoss', temperature=0.07, mask_same_cell=False)
        steps = {step.type: step for step in cfg.train_dataloader.dataset.pipeline}
        assert not {'CropImages', 'PhotometricDistortImages'} & steps.keys() and 'FlipImages' in steps
        assert steps['PointCloudSecondView'].shuffle and not steps['ResizeImages'].share_in_batch
        assert 'key_projector' not in model.intra_head
        assert all(projector.get('num_layers', 3) == 3 and not projector.get('hidden_channels') for projector in (
            model.intra_head.query_projector, model.inter_head.query_projector, model.inter_head.key_projector))
        assert model.get('img_level', -1) == -1 and len(model.img_backbone.out_indices) == 1
        assert not {'img_neck', 'occlusion', 'max_pairs_per_frame',
                    'key_momentum'} & model.keys()


def shrink(cfg: Config) -> None:
    """Few points, small images, narrow networks: what is left is the structure."""
    cfg.train_dataloader.dataset.update(data_root=str(cfg.data_root), serialize_data=False)
    for transform in cfg.train_dataloader.dataset.pipeline:
        if transform['type'] == 'SamplePoints':
            transform['num_points'] = 256
        elif transform['type'] == 'ResizeImages':
            transform['scale'] = (192, 64)
    narrower = 8 if cfg.model.img_backbone.depth == 18 else 32  # a bottleneck is four times as wide
    cfg.model.img_backbone.update(depth=18, base_channels=8)
    if cfg.model.point_encoder.type == 'PointNet2Encoder':
        cfg.model.point_encoder.update(num_points=(64, 32), radii=((1., ), (4., )),
                                       num_samples=((8, ), (8, )), sa_channels=(((16, ), ), ((16, ), )),
                                       aggregation_channels=(16, 32), fps_mods=('D-FPS', 'D-FPS'),
                                       fps_sample_range_lists=(-1, -1))
    else:
        cfg.model.point_encoder.update(num_points=32, out_channels=32, channels=(8, 16))
    heads = cfg.model.inter_head if isinstance(cfg.model.inter_head, list) else [cfg.model.inter_head]
    for head in heads:
        head.key_projector.in_channels = 32
        if 'img_neck' not in cfg.model:
            head.query_projector.in_channels //= narrower
            if head.query_projector.get('hidden_channels'):
                head.query_projector.hidden_channels //= narrower
    if cfg.model.get('intra_head'):
        cfg.model.intra_head.query_projector.in_channels = 32
    if 'img_neck' in cfg.model:
        cfg.model.img_neck.in_channels = [
            width // narrower for width in cfg.model.img_neck.in_channels]


# In the small model, those rows alone that are computed from the reference's sizes or pipeline.
STEPS = [(name, data) for name, data in CASES if data == 'kitti' or name in (
    'exact-index', 'queue', 'sparse-encoder', 'half-stride', 'several-levels', 'several-levels-fpn')]


@pytest.mark.parametrize('name, data', STEPS)
def test_one_training_step(name, data, load, data_root, tmp_path):
    cfg = copy.deepcopy(load(name, data))
    cfg.data_root = data_root
    shrink(cfg)
    if name == 'sparse-encoder':
        pytest.importorskip('spconv', reason='the sparse encoder needs spconv')
    with DefaultScope.overwrite_default_scope('mmdet3d'):
        dataset = DATASETS.build(cfg.train_dataloader.dataset)
        if name == 'imagenet':
            weights = MODELS.build(dict(cfg.model.img_backbone, init_cfg=None)).state_dict()
            cfg.model.img_backbone.init_cfg.checkpoint = str(tmp_path / 'imagenet.pth')
            torch.save(weights, tmp_path / 'imagenet.pth')
        model = MODELS.build(cfg.model)
        optimizer = build_optim_wrapper(model, cfg.optim_wrapper)
    if name == 'imagenet':
        model.init_weights()
        torch.testing.assert_close(dict(model.img_backbone.state_dict()), dict(weights))
    batch = model.data_preprocessor(pseudo_collate([dataset[0], dataset[1]]), training=True)
    losses = model(**batch, mode='loss')
    assert losses['pairs_inter'] > 20
    total, _ = model.parse_losses(losses)
    total.backward()
    # DistributedDataParallel raises an error for parameters without gradient.
    assert not [key for key, value in model.named_parameters()
                if value.requires_grad and value.grad is None]
    optimizer.step()
    assert all(torch.isfinite(value).all() for value in [total, *model.parameters()])
