# Point features see coordinates, relative to the centre of their ball.
_base_ = './simipu_{{$SIMIPU_ABLATION:kitti}}_reference.py'
model = dict(point_encoder=dict(use_xyz=True))
