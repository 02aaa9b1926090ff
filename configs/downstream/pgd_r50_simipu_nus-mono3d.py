"""PGD on nuScenes from the ResNet-50 of ``simipu_r50_16xb2-100e_nuscenes.py``.

    python tools/export_backbone.py CHECKPOINT work_dirs/simipu_r50_16xb2-100e_nuscenes/backbone.pth

As in ``fcos3d_r50_simipu_nus-mono3d.py``, which tells why, the pre-training is on nuScenes, the normalisation is
that of the pre-training, and the backbone trains as a whole.
"""
_base_ = ['mmdet3d::pgd/pgd_r101-caffe_fpn_head-gn_16xb2-1x_nus-mono3d.py', '_base_/resnet50.py']

custom_imports = dict(imports=['simipu'], allow_failed_imports=False)

model = dict(
    data_preprocessor=_base_.simipu_images,
    backbone=dict(
        **_base_.simipu_resnet50,
        init_cfg=dict(type='Pretrained', checkpoint='work_dirs/simipu_r50_16xb2-100e_nuscenes/backbone.pth')))
