# SimIPU on your own drives, from one or more cameras and a LiDAR; docs/data_format.md tells how to convert them.
# python tools/train.py configs/simipu_own_drive.py --data-root my_drive        (the short name of this file)
# Batch size 32 (8 GPUs x 4 frames), float32 (--amp for mixed precision); --auto-scale-lr fits the learning rates to
# another batch size.
_base_ = [
    '_base_/models/simipu_r50.py', '_base_/datasets/kitti.py',
    '_base_/schedules/hybrid_exp_100e.py', '_base_/default_runtime.py'
]

# What to adapt to your sensors:
data_root = 'my_drive/'
use_dim = 4  # values of each point to use: x, y, z, and an intensity between 0 and 1; 3 leaves the intensity out
point_cloud_range = [-60, -60, -5, 60, 60, 5]  # x, y, z from, and x, y, z to, in metres; z is 0 at the LiDAR
num_cameras = 1  # of each frame in training, drawn anew each time; so frames may have different cameras
num_points = 16384
# (width, height) that images are fitted into, their aspect ratio kept. Training draws between the two.
train_scale = [(480, 300), (1440, 900)]
val_scale = (960, 600)

load_points = dict(type='LoadPairedPoints', use_dim=use_dim)
train_pipeline = [
    dict(type='SampleCameras', num_cameras=num_cameras),
    load_points,
    _base_.load_images,
    dict(type='PairedPointsRangeFilter', point_cloud_range=point_cloud_range),
    dict(type='ResizeImages', scale=train_scale, keep_ratio=True),
    dict(type='FlipImages', prob=0.5),
    dict(type='SamplePoints', num_points=num_points, visible_share=1.0),
    dict(type='PointCloudSecondView', centre=[0, 0, 0]),
    dict(type='PackPairedInputs')
]
val_pipeline = [
    load_points,
    _base_.load_images,
    dict(type='PairedPointsRangeFilter', point_cloud_range=point_cloud_range),
    dict(type='ResizeImages', scale=val_scale, keep_ratio=True),
    dict(type='SamplePoints', num_points=num_points, visible_share=1.0),
    dict(type='PackPairedInputs')
]

model = dict(point_encoder=dict(in_channels=use_dim))
train_dataloader = dict(batch_size=4, dataset=dict(data_root=data_root, pipeline=train_pipeline))
# One frame at a time, with all its cameras, however many.
val_dataloader = dict(batch_size=1, dataset=dict(data_root=data_root, pipeline=val_pipeline))
test_dataloader = val_dataloader
