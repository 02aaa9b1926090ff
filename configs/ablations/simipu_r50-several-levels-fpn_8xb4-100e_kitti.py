# As simipu_r50-several-levels_8xb4-100e_kitti.py, through a feature pyramid that is thrown away afterwards.
_base_ = './simipu_r50-reference_8xb4-100e_kitti.py'
last = _base_.model.img_backbone.num_stages - 1
head = _base_.model.inter_head
width = head.query_projector.in_channels
model = dict(
    img_backbone=dict(out_indices=(last - 2, last - 1, last)),
    img_neck=dict(type='mmdet.FPN', in_channels=[width // 4, width // 2, width], out_channels=256,
                  num_outs=3),
    img_level=(0, 1, 2),
    inter_head=[dict(head, query_projector=dict(head.query_projector, in_channels=256))] * 3)
