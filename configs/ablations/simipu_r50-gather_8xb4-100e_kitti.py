# Negatives of all processes. In one process the same as the reference.
_base_ = './simipu_r50-reference_8xb4-100e_kitti.py'
model = dict(intra_head=dict(loss=dict(gather=True)), inter_head=dict(loss=dict(gather=True)))
