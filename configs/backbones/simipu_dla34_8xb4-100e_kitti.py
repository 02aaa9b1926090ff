# DLA-34 with group norm, as in SMOKE.
# Batch size 32 (8 GPUs x 4 frames), float32 (--amp for mixed precision).
_base_ = '../simipu_r50_8xb4-100e_kitti.py'

model = dict(
    img_backbone=dict(
        _delete_=True, type='DLANet', depth=34, out_indices=(5, ),
        norm_cfg=dict(type='GN', num_groups=32)),
    inter_head=dict(query_projector=dict(in_channels=512, hidden_channels=128)))
# mmdet3d's DLANet has six tensors that it does not use (`project` of the inner trees).
find_unused_parameters = True
