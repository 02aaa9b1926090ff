# Pixels are projected by one linear layer.
_base_ = './simipu_r50-reference_8xb4-100e_kitti.py'
model = dict(inter_head=dict(query_projector=dict(num_layers=1)))
