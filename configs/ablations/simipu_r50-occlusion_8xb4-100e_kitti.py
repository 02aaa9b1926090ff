# Points that a nearer surface hides from the camera are not paired.
_base_ = './simipu_r50-reference_8xb4-100e_kitti.py'
model = dict(occlusion=dict(cell=1))
