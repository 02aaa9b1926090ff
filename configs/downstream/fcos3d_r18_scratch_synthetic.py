"""The twin of ``fcos3d_r18_simipu_synthetic.py`` without pre-training: all else is equal."""
_base_ = './fcos3d_r18_simipu_synthetic.py'

model = dict(backbone=dict(init_cfg=[]))
