# simipu_kitti.py with the paper's point encoder, PointNet++, which also sees coordinates here: slower, and no
# better (docs/choices.md); for GPUs that spconv does not know.
# Batch size 32 (8 GPUs x 4 frames), float32 (--amp for mixed precision).
_base_ = './simipu_r50_8xb4-100e_kitti.py'

model = dict(point_encoder=dict(_delete_=True, type='PointNet2Encoder', in_channels=4, use_xyz=True))
