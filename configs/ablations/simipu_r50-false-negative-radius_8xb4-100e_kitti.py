# Points that lie within half a metre of each other, duplicates above all, are no negatives.
_base_ = './simipu_r50-reference_8xb4-100e_kitti.py'
model = dict(intra_head=dict(loss=dict(false_negative_radius=0.5)),
             inter_head=dict(loss=dict(false_negative_radius=0.5)))
