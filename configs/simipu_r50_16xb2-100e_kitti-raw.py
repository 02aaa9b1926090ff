# SimIPU on KITTI's raw data (or odometry sequences), both colour cameras.
# python tools/train.py configs/simipu_r50_16xb2-100e_kitti-raw.py
# Batch size 32 (16 GPUs x 2 frames), float32 (--amp for mixed precision).
_base_ = [
    '_base_/models/simipu_r50.py', '_base_/datasets/kitti_raw.py',
    '_base_/schedules/hybrid_exp_100e.py', '_base_/default_runtime.py'
]

model = dict(occlusion=dict(), max_pairs_per_frame=2048)  # occlusion's defaults suit KITTI
