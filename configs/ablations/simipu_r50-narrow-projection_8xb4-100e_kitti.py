# The layers that project the pixels are a quarter as wide as their features.
_base_ = './simipu_r50-reference_8xb4-100e_kitti.py'
width = _base_.model.inter_head.query_projector.in_channels
model = dict(inter_head=dict(query_projector=dict(hidden_channels=width // 4)))
