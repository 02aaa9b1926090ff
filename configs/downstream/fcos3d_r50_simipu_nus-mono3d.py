"""FCOS3D on nuScenes from a ResNet-50 that SimIPU pre-trained.

Write the weights first:
    python tools/export_backbone.py CHECKPOINT work_dirs/simipu_kitti/backbone.pth

What differs from mmdet3d's own recipe: ResNet-50 in place of ResNet-101, the image normalisation of
the pre-training, and a backbone that trains as a whole. The base freezes the stem, the first stage
and all batch norm. So a randomly initialised twin could not learn; and deformable convolutions
start with half the output of the plain ones they replace (their modulation starts at 0.5), which
only a live batch norm makes up for.
"""
_base_ = 'mmdet3d::fcos3d/fcos3d_r101-caffe-dcn_fpn_head-gn_8xb2-1x_nus-mono3d.py'

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
        init_cfg=dict(type='Pretrained', checkpoint='work_dirs/simipu_kitti/backbone.pth')))
