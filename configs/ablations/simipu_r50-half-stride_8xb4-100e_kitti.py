# The image backbone ends one stage earlier, at half the reference's stride: 16 on KITTI, 8 in the small
# model.
_base_ = './simipu_r50-reference_8xb4-100e_kitti.py'
num_stages = _base_.model.img_backbone.num_stages - 1
model = dict(
    img_backbone=dict(
        num_stages=num_stages,
        strides=(1, 2, 2, 2)[:num_stages],
        dilations=(1, ) * num_stages,
        out_indices=(num_stages - 1, )),
    inter_head=dict(query_projector=dict(
        in_channels=_base_.model.inter_head.query_projector.in_channels // 2)))
