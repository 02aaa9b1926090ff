# The last three stages of the image backbone are contrasted: strides 8 to 32 on KITTI, 4 to 16 in the small
# model.
_base_ = './simipu_r50-reference_8xb4-100e_kitti.py'
last = _base_.model.img_backbone.num_stages - 1
head = _base_.model.inter_head
width = head.query_projector.in_channels
model = dict(
    img_backbone=dict(out_indices=(last - 2, last - 1, last)),
    img_level=(0, 1, 2),
    inter_head=[dict(head, query_projector=dict(head.query_projector, in_channels=channels))
                for channels in (width // 4, width // 2, width)])
