# Pixels are projected by one linear layer.
_base_ = './simipu_{{$SIMIPU_ABLATION:kitti}}_reference.py'
model = dict(inter_head=dict(query_projector=dict(num_layers=1)))
