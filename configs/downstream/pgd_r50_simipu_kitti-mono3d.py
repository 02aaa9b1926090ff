"""PGD on KITTI from the ResNet-50 of ``simipu_kitti.py``.

    python tools/export_backbone.py CHECKPOINT work_dirs/simipu_kitti/backbone.pth

As in ``fcos3d_r50_simipu_nus-mono3d.py``, the normalisation is that of the pre-training, and the
backbone trains as a whole.
"""
_base_ = ['mmdet3d::pgd/pgd_r101-caffe_fpn_head-gn_4xb3-4x_kitti-mono3d.py', '_base_/resnet50.py']

custom_imports = dict(imports=['simipu'], allow_failed_imports=False)

model = dict(
    data_preprocessor=_base_.simipu_images,
    backbone=dict(
        **_base_.simipu_resnet50,
        init_cfg=dict(type='Pretrained', checkpoint='work_dirs/simipu_kitti/backbone.pth')))
