# Negatives of all processes. In one process the same as the reference.
_base_ = './simipu_{{$SIMIPU_ABLATION:kitti}}_reference.py'
model = dict(intra_head=dict(loss=dict(gather=True)), inter_head=dict(loss=dict(gather=True)))
