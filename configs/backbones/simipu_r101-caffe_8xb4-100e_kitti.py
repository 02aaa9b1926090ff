# ResNet-101 in caffe style, with the image normalisation of the detectors that have it (FCOS3D, PGD).
# Batch size 32 (8 GPUs x 4 frames), float32 (--amp for mixed precision).
_base_ = '../simipu_r50_8xb4-100e_kitti.py'

model = dict(
    data_preprocessor=dict(mean=[103.530, 116.280, 123.675], std=[1.0, 1.0, 1.0], bgr_to_rgb=False),
    img_backbone=dict(depth=101, style='caffe'))
