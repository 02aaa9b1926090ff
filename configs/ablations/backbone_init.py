# The image backbone starts as mmdet initialises it, not as PyTorch does.
_base_ = './simipu_{{$SIMIPU_ABLATION:kitti}}_reference.py'
model = dict(img_backbone=dict(init_cfg=None))
