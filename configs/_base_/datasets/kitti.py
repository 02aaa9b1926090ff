# KITTI's object set, or any folder in its layout; no label is read.
# Info files: python tools/create_data.py kitti --root-path data/kitti --out-dir data/kitti
data_root = 'data/kitti/'
point_cloud_range = [0, -40, -3, 70.4, 40, 1]
num_points = 16384
backend_args = None
# Of all pipelines; --cfg-options load_images.bit_depth=12, for instance, reaches each of them.
load_points = dict(type='LoadPairedPoints', backend_args=backend_args)
load_images = dict(type='LoadPairedImages', backend_args=backend_args)

train_pipeline = [
    load_points,
    load_images,
    dict(type='PairedPointsRangeFilter', point_cloud_range=point_cloud_range),
    dict(type='ResizeImages', scale=[(640, 192), (2400, 720)], keep_ratio=True),
    dict(type='FlipImages', prob=0.5),
    # From what the camera shows, as in velodyne_reduced; so full sweeps do as well.
    dict(type='SamplePoints', num_points=num_points, visible_share=1.0),
    dict(type='PointCloudSecondView', rot_range=[-1.5707963, 1.5707963], scale_range=[0.75, 1.25],
         flip_prob=0.5, centre=[35.2, 0, -1]),
    dict(type='PackPairedInputs')
]
test_pipeline = [
    load_points,
    load_images,
    dict(type='PairedPointsRangeFilter', point_cloud_range=point_cloud_range),
    dict(type='ResizeImages', scale=(1280, 384), keep_ratio=True),
    dict(type='SamplePoints', num_points=num_points, visible_share=1.0),
    dict(type='PackPairedInputs')
]

train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='ResumableSampler', shuffle=True),
    collate_fn=dict(type='collate_paired_frames'),
    dataset=dict(
        type='PairedDataset',
        data_root=data_root,
        ann_file='simipu_infos_train.pkl',
        pipeline=train_pipeline,
        backend_args=backend_args))
val_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    # Seeded, so that every validation samples the same points.
    sampler=dict(type='ResumableSampler', shuffle=False, seed=0),
    collate_fn=dict(type='collate_paired_frames'),
    dataset=dict(
        type='PairedDataset',
        data_root=data_root,
        ann_file='simipu_infos_val.pkl',
        pipeline=test_pipeline,
        test_mode=True,
        backend_args=backend_args))
test_dataloader = val_dataloader

val_evaluator = [dict(type='CrossModalRetrieval'), dict(type='DepthProbeMetric')]
test_evaluator = val_evaluator
