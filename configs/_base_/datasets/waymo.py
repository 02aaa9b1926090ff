# Waymo Open Dataset with five cameras, after mmdet3d's Waymo converter; no annotation is read.
# Info files: python tools/create_data.py waymo --root-path data/waymo/kitti_format \
#     --out-dir data/waymo/kitti_format
_base_ = './kitti.py'

data_root = 'data/waymo/kitti_format/'
point_cloud_range = [-75.2, -75.2, -2, 75.2, 75.2, 4]
num_cameras = 3  # of each frame in training, drawn anew each time: bounds memory and time
# Intensities have no upper bound in the files.
load_points = dict(type='LoadPairedPoints', intensity_scale='tanh', backend_args=_base_.backend_args)

train_pipeline = [
    dict(type='SampleCameras', num_cameras=num_cameras),
    load_points,
    _base_.load_images,
    dict(type='PairedPointsRangeFilter', point_cloud_range=point_cloud_range),
    dict(type='ResizeImages', scale=[(704, 470), (1408, 940)], keep_ratio=True),
    dict(type='FlipImages', prob=0.5),
    # First what these cameras show: a sweep goes all around.
    dict(type='SamplePoints', num_points=_base_.num_points, visible_share=1.0),
    dict(type='PointCloudSecondView', rot_range=[-1.5707963, 1.5707963], scale_range=[0.75, 1.25],
         flip_prob=0.5, centre=[0, 0, 1]),
    dict(type='PackPairedInputs')
]
test_pipeline = [
    load_points,
    _base_.load_images,
    dict(type='PairedPointsRangeFilter', point_cloud_range=point_cloud_range),
    dict(type='ResizeImages', scale=(1056, 704), keep_ratio=True),
    dict(type='SamplePoints', num_points=_base_.num_points, visible_share=1.0),
    dict(type='PackPairedInputs')
]

train_dataloader = dict(
    batch_size=2, dataset=dict(data_root=data_root, pipeline=train_pipeline))
val_dataloader = dict(batch_size=2, dataset=dict(data_root=data_root, pipeline=test_pipeline))
test_dataloader = val_dataloader
