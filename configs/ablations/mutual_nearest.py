# Pairs of points each of which is the other's nearest.
_base_ = './simipu_{{$SIMIPU_ABLATION:kitti}}_reference.py'
model = dict(matcher=dict(_delete_=True, type='MutualNearestMatcher'))
