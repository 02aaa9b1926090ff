# Keys look for their queries, too.
_base_ = './simipu_r50-reference_8xb4-100e_kitti.py'
model = dict(intra_head=dict(loss=dict(symmetric=True)), inter_head=dict(loss=dict(symmetric=True)))
