# SimIPU on nuScenes, three of the six cameras of each frame at a time.
# python tools/train.py configs/simipu_r50_16xb2-100e_nuscenes.py
# Batch size 32 (16 GPUs x 2 frames), float32 (--amp for mixed precision).
_base_ = [
    '_base_/models/simipu_r50.py', '_base_/datasets/nuscenes.py',
    '_base_/schedules/hybrid_exp_100e.py', '_base_/default_runtime.py'
]

# Points that nearer ones hide from a camera are not paired with it: 32 beams leave wide gaps.
model = dict(occlusion=dict(cell=4, window=32), max_pairs_per_frame=2048)
