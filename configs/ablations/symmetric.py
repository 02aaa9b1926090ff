# Keys look for their queries, too.
_base_ = './simipu_{{$SIMIPU_ABLATION:kitti}}_reference.py'
model = dict(intra_head=dict(loss=dict(symmetric=True)), inter_head=dict(loss=dict(symmetric=True)))
