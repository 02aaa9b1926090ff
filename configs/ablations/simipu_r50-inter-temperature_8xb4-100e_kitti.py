# A higher temperature between pixels and points.
_base_ = './simipu_r50-reference_8xb4-100e_kitti.py'
model = dict(inter_head=dict(loss=dict(temperature=0.2)))
