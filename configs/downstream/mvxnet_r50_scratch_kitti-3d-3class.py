"""The twin of ``mvxnet_r50_simipu_kitti-3d-3class.py`` without pre-training: all else is equal."""
_base_ = './mvxnet_r50_simipu_kitti-3d-3class.py'

model = dict(img_backbone=dict(init_cfg=[]))
