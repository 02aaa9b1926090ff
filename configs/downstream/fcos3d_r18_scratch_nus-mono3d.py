"""The twin of ``fcos3d_r18_simipu_nus-mono3d.py`` without pre-training: all else is equal."""
_base_ = './fcos3d_r18_simipu_nus-mono3d.py'

model = dict(backbone=dict(init_cfg=[]))
