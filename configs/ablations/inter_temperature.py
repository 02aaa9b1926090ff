# A higher temperature between pixels and points.
_base_ = './simipu_{{$SIMIPU_ABLATION:kitti}}_reference.py'
model = dict(inter_head=dict(loss=dict(temperature=0.2)))
