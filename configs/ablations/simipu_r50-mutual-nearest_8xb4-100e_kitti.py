# Pairs of points each of which is the other's nearest.
_base_ = './simipu_r50-reference_8xb4-100e_kitti.py'
model = dict(matcher=dict(_delete_=True, type='MutualNearestMatcher'))
