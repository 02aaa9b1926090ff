# SimIPU on KITTI (Li et al., AAAI 2022) with what was measured to be better, on one GPU or several:
# python tools/train.py configs/simipu_kitti.py
# The learning rates are taken to be those of 8 GPUs with 4 frames each; --auto-scale-lr fits them to yours.
_base_ = [
    '_base_/models/simipu_r50.py', '_base_/datasets/kitti.py',
    '_base_/schedules/hybrid_exp_100e.py', '_base_/default_runtime.py'
]
