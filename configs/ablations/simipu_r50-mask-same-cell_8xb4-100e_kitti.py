# Pixels in one cell of the feature map are no negatives of each other.
_base_ = './simipu_r50-reference_8xb4-100e_kitti.py'
model = dict(inter_head=dict(loss=dict(mask_same_cell=True)))
