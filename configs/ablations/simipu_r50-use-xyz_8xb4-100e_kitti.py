# Point features see coordinates, relative to the centre of their ball.
_base_ = './simipu_r50-reference_8xb4-100e_kitti.py'
model = dict(point_encoder=dict(use_xyz=True))
