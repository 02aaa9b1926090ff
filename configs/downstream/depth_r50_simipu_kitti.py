"""Monocular depth on KITTI's raw data, without annotation, from the ResNet-50 of ``simipu_kitti.py``.

    python tools/create_data.py kitti_raw --root-path data/kitti_raw --out-dir data/kitti_raw
    python tools/export_backbone.py CHECKPOINT work_dirs/simipu_kitti/backbone.pth

The depth is that of the frame's LiDAR sweep. So ``--data-root`` may name any paired set with four
values a point, such as data/kitti or data/synthetic.
"""
_base_ = '_base_/dense_depth_r50.py'

data_root = 'data/kitti_raw/'
max_depth = 80

model = dict(
    backbone=dict(
        init_cfg=dict(type='Pretrained', checkpoint='work_dirs/simipu_kitti/backbone.pth')),
    decode_head=dict(max_depth=max_depth))

load = [dict(type='LoadPairedPoints'), dict(type='LoadPairedImages')]
pack = dict(type='PackLidarDepth', occlusion=dict())  # occlusion's defaults suit KITTI
train_pipeline = [
    dict(type='SampleCameras', num_cameras=1), *load,
    dict(type='CropImages', size=(704, 352)),
    dict(type='FlipImages'),
    dict(type='PhotometricDistortImages'), pack
]

train_dataloader = dict(
    batch_size=8,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type='PairedDataset',
        _scope_='mmdet3d',
        data_root=data_root,
        ann_file='simipu_infos_train.pkl',
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='PairedDataset',
        _scope_='mmdet3d',
        data_root=data_root,
        ann_file='simipu_infos_val.pkl',
        cameras=['CAM2'],
        test_mode=True,
        pipeline=[*load, pack]))
test_dataloader = val_dataloader

val_evaluator = dict(type='DepthMetric', min_depth_eval=1e-3, max_depth_eval=max_depth)
test_evaluator = val_evaluator
