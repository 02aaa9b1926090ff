# ResNet-101 in caffe style on nuScenes, with the image normalisation of mmdet3d's own FCOS3D and PGD.
# Batch size 32 (16 GPUs x 2 frames), float32 (--amp for mixed precision).
_base_ = '../simipu_r50_16xb2-100e_nuscenes.py'

model = dict(
    data_preprocessor=dict(mean=[103.530, 116.280, 123.675], std=[1.0, 1.0, 1.0], bgr_to_rgb=False),
    img_backbone=dict(depth=101, style='caffe'))
