# The assignment gives up pairs that are farther apart.
_base_ = './simipu_r50-reference_8xb4-100e_kitti.py'
model = dict(matcher=dict(max_distance=1.0))
