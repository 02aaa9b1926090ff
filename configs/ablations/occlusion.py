# Points that a nearer surface hides from the camera are not paired.
_base_ = './simipu_{{$SIMIPU_ABLATION:kitti}}_reference.py'
model = dict(occlusion=dict(cell=1))
