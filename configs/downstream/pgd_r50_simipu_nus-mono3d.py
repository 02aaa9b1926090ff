"""PGD on nuScenes from the ResNet-50 of ``simipu_nuscenes.py``.

    python tools/export_backbone.py CHECKPOINT work_dirs/simipu_nuscenes/backbone.pth

As in ``fcos3d_r50_simipu_nus-mono3d.py``, the normalisation is that of the pre-training, and the
backbone trains as a whole.
"""
_base_ = 'mmdet3d::pgd/pgd_r101-caffe_fpn_head-gn_16xb2-1x_nus-mono3d.py'

custom_imports = dict(imports=['simipu'], allow_failed_imports=False)

model = dict(
    data_preprocessor=dict(
        mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True),
    backbone=dict(
        depth=50,
        style='pytorch',
        frozen_stages=-1,
        norm_cfg=dict(type='BN', requires_grad=True),
        norm_eval=False,
        init_cfg=dict(type='Pretrained', checkpoint='work_dirs/simipu_nuscenes/backbone.pth')))
