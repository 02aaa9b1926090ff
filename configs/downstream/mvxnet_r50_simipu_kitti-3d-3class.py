"""MVX-Net, which fuses LiDAR and camera, on KITTI from the ResNet-50 of ``simipu_kitti.py``.

    python tools/export_backbone.py CHECKPOINT work_dirs/simipu_kitti/backbone.pth

It needs a GPU: mmcv has no CPU version of the scatter in its voxel encoder.

The normalisation is that of the pre-training, the image backbone trains as a whole, and the detector
that the base starts from (pre-trained on COCO's labels) is left out. The multi-modality
cut-and-paste of the paper's MoCa row is missing, see docs/downstream.md.
"""
_base_ = 'mmdet3d::mvxnet/mvxnet_fpn_dv_second_secfpn_8xb2-80e_kitti-3d-3class.py'

custom_imports = dict(imports=['simipu'], allow_failed_imports=False)

model = dict(
    data_preprocessor=dict(
        mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True),
    img_backbone=dict(
        style='pytorch',
        frozen_stages=-1,
        norm_cfg=dict(type='BN', requires_grad=True),
        norm_eval=False,
        init_cfg=dict(type='Pretrained', checkpoint='work_dirs/simipu_kitti/backbone.pth')))
load_from = None
