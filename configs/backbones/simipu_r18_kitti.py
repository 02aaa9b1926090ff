# ResNet-18.
_base_ = '../simipu_kitti.py'

model = dict(img_backbone=dict(depth=18), inter_head=dict(query_projector=dict(in_channels=512)))
