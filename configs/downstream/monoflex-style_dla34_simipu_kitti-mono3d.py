"""A detector in the style of MonoFlex on KITTI, from the DLA-34 of ``backbones/simipu_dla34_8xb4-100e_kitti.py``.

    python tools/export_backbone.py CHECKPOINT work_dirs/simipu_dla34_8xb4-100e_kitti/backbone.pth

MonoFlex (Zhang et al., CVPR 2021) itself cannot be had: mmdet3d 1.4 ships no config of it, and its
``MonoFlexHead`` neither trains nor predicts (its ``loss`` calls itself with other arguments). This
is put together from parts of mmdet3d that work: DLA-34 and its neck, and on their one map of stride
4 the head of PGD. Like MonoFlex's it predicts projected corners, 2D boxes and several depths with
uncertainties, which it combines. It lacks MonoFlex's edge fusion, and its depths are a direct and a
probabilistic one, none of keypoints.
"""
_base_ = 'mmdet3d::pgd/pgd_r101-caffe_fpn_head-gn_4xb3-4x_kitti-mono3d.py'

custom_imports = dict(imports=['simipu'], allow_failed_imports=False)

group_norm = dict(type='GN', num_groups=32)
model = dict(
    data_preprocessor=dict(
        mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True),
    backbone=dict(
        _delete_=True,
        type='DLANet',
        depth=34,
        norm_cfg=group_norm,
        init_cfg=dict(type='Pretrained', checkpoint='work_dirs/simipu_dla34_8xb4-100e_kitti/backbone.pth')),
    neck=dict(
        _delete_=True,
        type='DLANeck',
        in_channels=[16, 32, 64, 128, 256, 512],
        norm_cfg=group_norm),
    bbox_head=dict(in_channels=64, strides=(4, ), regress_ranges=((-1, 1e8), )))
find_unused_parameters = True  # DLANet has six tensors that it does not use
