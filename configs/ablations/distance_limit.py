# The assignment gives up pairs that are farther apart.
_base_ = './simipu_{{$SIMIPU_ABLATION:kitti}}_reference.py'
model = dict(matcher=dict(max_distance=1.0))
