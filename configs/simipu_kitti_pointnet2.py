# simipu_kitti.py with the paper's point encoder, PointNet++, which also sees coordinates here: slower, and no
# better (docs/results.md); for GPUs that spconv does not know.
_base_ = './simipu_kitti.py'

model = dict(point_encoder=dict(_delete_=True, type='PointNet2Encoder', in_channels=4, use_xyz=True))
