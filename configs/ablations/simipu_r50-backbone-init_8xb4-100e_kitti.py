# The image backbone starts as mmdet initialises it, not as PyTorch does.
_base_ = './simipu_r50-reference_8xb4-100e_kitti.py'
model = dict(img_backbone=dict(init_cfg=None))
