# ResNet-18.
# Batch size 32 (8 GPUs x 4 frames), float32 (--amp for mixed precision).
_base_ = '../simipu_r50_8xb4-100e_kitti.py'

model = dict(
    img_backbone=dict(depth=18), inter_head=dict(query_projector=dict(in_channels=512, hidden_channels=128)))
