# Sparse convolutions in the place of PointNet++.
_base_ = './simipu_r50-reference_8xb4-100e_kitti.py'
model = dict(point_encoder=dict(
    _delete_=True, type='SparseConvEncoder', in_channels=4, num_points=_base_.num_sampled_points,
    out_channels=_base_.model.intra_head.query_projector.in_channels))
