# ConvNeXt-T of mmpretrain, which must be installed; SGD does not train it well.
# Batch size 32 (8 GPUs x 4 frames), float32 (--amp for mixed precision).
_base_ = '../simipu_r50_8xb4-100e_kitti.py'

custom_imports = dict(imports=['simipu', 'mmpretrain.models'], allow_failed_imports=False)
model = dict(
    img_backbone=dict(
        _delete_=True, type='mmpretrain.ConvNeXt', arch='tiny', out_indices=(3, ),
        gap_before_final_norm=False),
    inter_head=dict(query_projector=dict(in_channels=768, hidden_channels=192)))
optim_wrapper = dict(
    optimizer=dict(img_backbone=dict(type='AdamW', lr=1e-4, weight_decay=0.05)))
