"""ImVoxelNet on KITTI from the ResNet-50 of ``simipu_kitti.py``.

    python tools/export_backbone.py CHECKPOINT work_dirs/simipu_kitti/backbone.pth

The base's normalisation is that of the pre-training. Its backbone is frozen in part and learns at a
tenth of the rate, which suits ImageNet weights; here it trains as a whole and at the full rate, that
the twin with random weights has a fair chance.
"""
_base_ = 'mmdet3d::imvoxelnet/imvoxelnet_8xb4_kitti-3d-car.py'

custom_imports = dict(imports=['simipu'], allow_failed_imports=False)

model = dict(
    backbone=dict(
        frozen_stages=-1,
        norm_cfg=dict(type='BN', requires_grad=True),
        norm_eval=False,
        init_cfg=dict(type='Pretrained', checkpoint='work_dirs/simipu_kitti/backbone.pth')))

optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=1.0))))
