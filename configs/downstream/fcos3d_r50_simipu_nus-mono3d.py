"""FCOS3D on nuScenes from the ResNet-50 of ``simipu_r50_16xb2-100e_nuscenes.py``.

Write the weights first:
    python tools/export_backbone.py CHECKPOINT work_dirs/simipu_r50_16xb2-100e_nuscenes/backbone.pth

The detectors for nuScenes start from a pre-training on nuScenes: its frames need no labels for that, and its
cameras, sizes of images and streets are those that the detector will see. The paper's own start from Waymo
(``simipu_r50_16xb2-100e_waymo.py``); any backbone of the same type can be named as ``init_cfg.checkpoint``.

What differs from mmdet3d's own recipe: ResNet-50 in place of ResNet-101, the image normalisation of
the pre-training, and a backbone that trains as a whole. The base freezes the stem, the first stage
and all batch norm. So a randomly initialised twin could not learn; and deformable convolutions
start with half the output of the plain ones they replace (their modulation starts at 0.5), which
only a live batch norm makes up for.
"""
_base_ = ['mmdet3d::fcos3d/fcos3d_r101-caffe-dcn_fpn_head-gn_8xb2-1x_nus-mono3d.py', '_base_/resnet50.py']

custom_imports = dict(imports=['simipu'], allow_failed_imports=False)

model = dict(
    data_preprocessor=_base_.simipu_images,
    backbone=dict(
        **_base_.simipu_resnet50,
        init_cfg=dict(type='Pretrained', checkpoint='work_dirs/simipu_r50_16xb2-100e_nuscenes/backbone.pth')))
