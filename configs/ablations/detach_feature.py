# The points' projection learns, too.
_base_ = './simipu_{{$SIMIPU_ABLATION:kitti}}_reference.py'
model = dict(inter_head=dict(detach_key='feature'))
