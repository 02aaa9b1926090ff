"""The twin of ``depth_r50_simipu_nyu.py`` without pre-training: all else is equal."""
_base_ = './depth_r50_simipu_nyu.py'

model = dict(backbone=dict(init_cfg=[]))
