"""mmdet3d's own FCOS3D on nuScenes, ResNet-101 in caffe style, from a backbone that SimIPU pre-trained.

    python tools/train.py configs/backbones/simipu_r101-caffe_16xb2-100e_nuscenes.py
    python tools/export_backbone.py CHECKPOINT work_dirs/simipu_r101-caffe_16xb2-100e_nuscenes/backbone.pth

That pre-training normalises images as the base does, caffe's way: BGR, mean subtracted, std 1. The
backbone trains as a whole, for the reasons in ``fcos3d_r50_simipu_nus-mono3d.py``.
"""
_base_ = 'mmdet3d::fcos3d/fcos3d_r101-caffe-dcn_fpn_head-gn_8xb2-1x_nus-mono3d.py'

custom_imports = dict(imports=['simipu'], allow_failed_imports=False)

model = dict(
    backbone=dict(
        frozen_stages=-1,
        norm_cfg=dict(type='BN', requires_grad=True),
        norm_eval=False,
        init_cfg=dict(
            type='Pretrained', checkpoint='work_dirs/simipu_r101-caffe_16xb2-100e_nuscenes/backbone.pth')))
