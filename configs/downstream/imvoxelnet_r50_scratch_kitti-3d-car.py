"""The twin of ``imvoxelnet_r50_simipu_kitti-3d-car.py`` without pre-training: all else is equal."""
_base_ = './imvoxelnet_r50_simipu_kitti-3d-car.py'

model = dict(backbone=dict(init_cfg=[]))
