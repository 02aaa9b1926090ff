"""Every downstream config builds from the installed packages and takes its pre-trained backbone whole."""
import re
import sys
from pathlib import Path

import pytest
import torch
from mmcv.ops import DynamicScatter, ModulatedDeformConv2dPack
from mmdet3d.registry import MODELS
from mmengine.config import Config
from mmengine.registry import DefaultScope

from simipu.checkpoints import verify_pretrained
from simipu.config import check_device, read_config
from simipu.errors import ConfigError

CONFIGS = Path(__file__).parents[2] / 'configs'
DOWNSTREAM = CONFIGS / 'downstream'
# And the pre-training that each is made for.
PRETRAINING = {
    'fcos3d_r101-caffe-dcn_simipu_nus-mono3d': 'backbones/simipu_r101-caffe_16xb2-100e_nuscenes.py',
    'fcos3d_r18_simipu_nus-mono3d': 'simipu_synthetic.py',
    'fcos3d_r18_simipu_synthetic': 'simipu_synthetic.py',
    'fcos3d_r50_simipu_nus-mono3d': 'simipu_r50_16xb2-100e_nuscenes.py',
    'pgd_r50_simipu_kitti-mono3d': 'simipu_kitti.py',
    'pgd_r50_simipu_nus-mono3d': 'simipu_r50_16xb2-100e_nuscenes.py',
    'smoke_dla34_simipu_kitti-mono3d': 'backbones/simipu_dla34_8xb4-100e_kitti.py',
    'monoflex-style_dla34_simipu_kitti-mono3d': 'backbones/simipu_dla34_8xb4-100e_kitti.py',
    'imvoxelnet_r50_simipu_kitti-3d-car': 'simipu_kitti.py',
    'mvxnet_r50_simipu_kitti-3d-3class': 'simipu_kitti.py',
    'depth_r50_simipu_kitti': 'simipu_kitti.py',
    'depth_r50_simipu_nyu': 'simipu_kitti.py',
}
WITH_DCN = {'fcos3d_r101-caffe-dcn_simipu_nus-mono3d': 23 + 3, 'fcos3d_r50_simipu_nus-mono3d': 6 + 3,
            'pgd_r50_simipu_nus-mono3d': 6 + 3}  # blocks of the third and fourth stage


def skip_without_package(name: str) -> None:
    if name.startswith('depth'):
        pytest.importorskip('mmseg', reason='needs requirements/depth.txt')


def read(name: str) -> Config:
    skip_without_package(name)
    return Config.fromfile(DOWNSTREAM / f'{name}.py')


def backbone_of(cfg: Config) -> dict:
    return cfg.model.get('img_backbone') or cfg.model.backbone


def test_no_config_is_left_out():
    names = {path.stem for path in DOWNSTREAM.glob('*.py')}
    assert names == {*PRETRAINING, *(name.replace('_simipu_', '_scratch_') for name in PRETRAINING)}


@pytest.mark.parametrize('name', PRETRAINING)
def test_builds_and_takes_every_backbone_tensor(name, pretrained):
    skip_without_package(name)
    report = verify_pretrained(DOWNSTREAM / f'{name}.py', pretrained(PRETRAINING[name]))
    assert report.ok
    assert set(report.loaded) == set(report.changed) and not report.unexpected
    assert not report.warnings, 'normalisation and style must be those of the pre-training'
    assert len(report.new_layers) == 2 * WITH_DCN.get(name, 0)  # weight and bias of each block's offsets


@pytest.mark.parametrize('name', PRETRAINING)
def test_scratch_twin_is_a_fair_comparison(name):
    pair = [read(name), read(name.replace('_simipu_', '_scratch_'))]
    settings = backbone_of(pair[0])
    # Nothing is frozen, so that a random backbone can learn.
    assert settings.get('frozen_stages', -1) == -1
    if 'ResNet' in settings.type:
        assert settings.norm_eval is False and settings.norm_cfg.requires_grad
    # Only the initialisation differs, and no other file replaces the backbone's weights.
    weights, nothing = (backbone_of(cfg).pop('init_cfg') for cfg in pair)
    assert nothing == [] and pair[0].to_dict() == pair[1].to_dict()
    folder = Path(PRETRAINING[name]).stem
    assert weights == dict(type='Pretrained', checkpoint=f'work_dirs/{folder}/backbone.pth')
    assert not pair[0].get('load_from')


@pytest.mark.parametrize('name', PRETRAINING)
def test_scratch_twin_starts_as_pytorch_initialises_it(name):
    """What the classes of the layers drew stays; mmdet's own initialisation was measured to be worse."""
    cfg = read(name.replace('_simipu_', '_scratch_'))
    with DefaultScope.overwrite_default_scope('mmdet3d'):
        backbone = MODELS.build(backbone_of(cfg))
    deformable = [key for key, module in backbone.named_modules() if isinstance(module, ModulatedDeformConv2dPack)]

    def weights() -> dict:
        """But those of deformable convolutions, which draw theirs again, from the same distribution."""
        return {key: value.clone() for key, value in backbone.state_dict().items()
                if not key.startswith(tuple(deformable))}

    drawn = weights()
    backbone.init_weights()
    torch.testing.assert_close(weights(), drawn, rtol=0, atol=0)


def test_detectors_start_from_the_data_set_that_they_are_for():
    """The small one for nuScenes is the quickstart's, whose backbone is of generated scenes."""
    for name, pretraining in PRETRAINING.items():
        if '_nus-' in name and 'r18' not in name:
            assert pretraining.endswith('_nuscenes.py')
        elif name.endswith('kitti-mono3d'):
            assert pretraining.endswith('_kitti.py')


@pytest.mark.skipif(torch.cuda.is_available(), reason='about machines without a GPU')
def test_what_needs_a_gpu_says_so():
    cfg = Config.fromfile(DOWNSTREAM / 'mvxnet_r50_simipu_kitti-3d-3class.py')
    with pytest.raises(ConfigError) as info:
        check_device(cfg, 'model', 'val_evaluator')
    first, second = str(info.value).split('\n')
    assert re.match(r'model\.pts_voxel_encoder\.type: DynamicVFE needs a GPU, and there is none here: mmcv',
                    first)
    assert second.startswith('val_evaluator.type: KittiMetric needs a GPU')
    cfg.val_evaluator = None
    check_device(cfg, 'val_evaluator')


@pytest.mark.skipif(torch.cuda.is_available(), reason='about machines without a GPU')
def test_the_gpu_is_really_needed():
    """Fails when mmcv or mmdet3d can do without, so that the refusal can go."""
    scatter = DynamicScatter([1, 1, 1], [0, 0, 0, 4, 4, 4], average_points=True)
    with pytest.raises(RuntimeError, match='not (found|implemented)'):
        scatter(torch.rand(5, 4), torch.zeros(5, 4, dtype=torch.int32))
    from numba.cuda.cudadrv.error import CudaSupportError
    with pytest.raises(CudaSupportError):  # compiled when imported, which kitti_eval does when called
        import mmdet3d.evaluation.functional.kitti_utils.rotate_iou  # noqa: F401


def test_monoflex_head_of_mmdet3d_is_broken():
    """Fails when mmdet3d's own head can be trained, so that a true MonoFlex config can be made."""
    from mmdet3d.models.dense_heads import MonoFlexHead

    class Untrained(MonoFlexHead):
        def __init__(self):
            pass

        def __call__(self, x, metas):
            return [x], [x]

    with pytest.raises(TypeError, match='takes 3 positional arguments but 6 were given'):
        Untrained().loss([], [])


@pytest.mark.parametrize('name', ['depth_r50_simipu_kitti', 'depth_r50_simipu_nyu'])
def test_depth_without_mmsegmentation_is_one_message(name, monkeypatch):
    monkeypatch.setattr('mmengine.config.config.is_installed', lambda package: package != 'mmsegmentation')
    with pytest.raises(ConfigError, match=fr'{name}\.py: mmsegmentation is not installed; run: pip install '
                       r'-r requirements/depth\.txt$'):
        read_config(DOWNSTREAM / f'{name}.py')


def test_depth_with_half_of_mmsegmentation_is_one_message(monkeypatch):
    pytest.importorskip('mmseg', reason='needs requirements/depth.txt')
    monkeypatch.setitem(sys.modules, 'mmseg.models', None)
    monkeypatch.delitem(sys.modules, 'simipu.downstream.depth', raising=False)
    with pytest.raises(ConfigError, match=r'monocular depth needs mmsegmentation and what it imports '
                       r'\(.*mmseg\.models.*\); run: pip install -r requirements/depth\.txt'):
        read_config(DOWNSTREAM / 'depth_r50_simipu_kitti.py')
