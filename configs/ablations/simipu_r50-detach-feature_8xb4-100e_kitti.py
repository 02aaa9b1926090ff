# The points' projection learns, too.
_base_ = './simipu_r50-reference_8xb4-100e_kitti.py'
model = dict(inter_head=dict(detach_key='feature'))
