# Swin-T, which SGD does not train well.
# Batch size 32 (8 GPUs x 4 frames), float32 (--amp for mixed precision).
_base_ = '../simipu_r50_8xb4-100e_kitti.py'

model = dict(
    img_backbone=dict(
        _delete_=True, type='mmdet.SwinTransformer', embed_dims=96, depths=(2, 2, 6, 2),
        num_heads=(3, 6, 12, 24), window_size=7, drop_path_rate=0.2, out_indices=(3, )),
    inter_head=dict(query_projector=dict(in_channels=768, hidden_channels=192)))
optim_wrapper = dict(
    optimizer=dict(img_backbone=dict(type='AdamW', lr=1e-4, weight_decay=0.05)))
