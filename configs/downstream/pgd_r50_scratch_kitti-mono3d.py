"""The twin of ``pgd_r50_simipu_kitti-mono3d.py`` without pre-training: all else is equal."""
_base_ = './pgd_r50_simipu_kitti-mono3d.py'

model = dict(backbone=dict(init_cfg=[]))
