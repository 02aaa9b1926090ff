# Pixels in one cell of the feature map are no negatives of each other.
_base_ = './simipu_{{$SIMIPU_ABLATION:kitti}}_reference.py'
model = dict(inter_head=dict(loss=dict(mask_same_cell=True)))
