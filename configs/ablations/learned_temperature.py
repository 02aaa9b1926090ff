# Both temperatures are learned.
_base_ = './simipu_{{$SIMIPU_ABLATION:kitti}}_reference.py'
model = dict(intra_head=dict(loss=dict(learn_temperature=True)),
             inter_head=dict(loss=dict(learn_temperature=True)))
