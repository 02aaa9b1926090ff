# Both temperatures are learned.
_base_ = './simipu_r50-reference_8xb4-100e_kitti.py'
model = dict(intra_head=dict(loss=dict(learn_temperature=True)),
             inter_head=dict(loss=dict(learn_temperature=True)))
