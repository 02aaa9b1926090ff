"""The twin of ``depth_r50_simipu_kitti.py`` without pre-training: all else is equal."""
_base_ = './depth_r50_simipu_kitti.py'

model = dict(backbone=dict(init_cfg=[]))
