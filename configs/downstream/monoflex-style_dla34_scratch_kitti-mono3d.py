"""The twin of ``monoflex-style_dla34_simipu_kitti-mono3d.py`` without pre-training: all else is equal."""
_base_ = './monoflex-style_dla34_simipu_kitti-mono3d.py'

model = dict(backbone=dict(init_cfg=[]))
