"""SMOKE on KITTI from the DLA-34 of ``backbones/simipu_dla34_8xb4-100e_kitti.py``.

    python tools/export_backbone.py CHECKPOINT work_dirs/simipu_dla34_8xb4-100e_kitti/backbone.pth

The base's normalisation is that of the pre-training, and its DLA-34 trains as a whole.
"""
_base_ = 'mmdet3d::smoke/smoke_dla34_dlaneck_gn-all_4xb8-6x_kitti-mono3d.py'

custom_imports = dict(imports=['simipu'], allow_failed_imports=False)

model = dict(
    backbone=dict(
        init_cfg=dict(type='Pretrained', checkpoint='work_dirs/simipu_dla34_8xb4-100e_kitti/backbone.pth')))
