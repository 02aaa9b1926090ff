# SimIPU on the Waymo Open Dataset, three of the five cameras of each frame at a time.
# A fifth of the data, as in the paper's ablation: convert with --every 5.
# python tools/train.py configs/simipu_r50_16xb2-100e_waymo.py
# Batch size 32 (16 GPUs x 2 frames), float32 (--amp for mixed precision).
_base_ = [
    '_base_/models/simipu_r50.py', '_base_/datasets/waymo.py',
    '_base_/schedules/hybrid_exp_100e.py', '_base_/default_runtime.py'
]

model = dict(occlusion=dict(cell=2, window=16), max_pairs_per_frame=2048)
