# SimIPU on KITTI (Li et al., AAAI 2022) with what was measured to be better, on one GPU or several:
# python tools/train.py configs/simipu_kitti.py        (the short name of this file)
# Batch size 32 (8 GPUs x 4 frames), float32 (--amp for mixed precision); --auto-scale-lr fits the learning rates to
# another batch size.
_base_ = [
    '_base_/models/simipu_r50.py', '_base_/datasets/kitti.py',
    '_base_/schedules/hybrid_exp_100e.py', '_base_/default_runtime.py'
]
