"""A small FCOS3D on labelled generated scenes, to tell backbones apart on a CPU in minutes.

ResNet-18 up to stride 16, as ``simipu_synthetic.py`` pre-trains it, images of 384 x 128, a head of 64
channels at strides 8 and 16, 400 steps. ``benchmarks/detection.py`` makes the data and trains this config
and its scratch twin; any folder in KITTI's layout with mmdet3d's info files will do.
"""
_base_ = [
    'mmdet3d::_base_/models/fcos3d.py', 'mmdet3d::_base_/datasets/kitti-mono3d.py',
    'mmdet3d::_base_/default_runtime.py'
]
custom_imports = dict(imports=['simipu', 'simipu.downstream'], allow_failed_imports=False)

class_names = ['Pedestrian', 'Cyclist', 'Car']  # those that mmdet3d prepares for monocular detection
model = dict(
    backbone=dict(
        depth=18, num_stages=3, strides=(1, 2, 2), dilations=(1, 1, 1), out_indices=(1, 2),
        style='pytorch', frozen_stages=-1, norm_cfg=dict(type='BN', requires_grad=True), norm_eval=False,
        init_cfg=dict(type='Pretrained', checkpoint='work_dirs/simipu_synthetic/backbone.pth')),
    neck=dict(in_channels=[128, 256], out_channels=64, start_level=0, add_extra_convs=False, num_outs=2),
    bbox_head=dict(
        num_classes=len(class_names), in_channels=64, feat_channels=64, stacked_convs=1,
        strides=(8, 16), regress_ranges=((-1, 48), (48, 1e8)), dcn_on_last_conv=False,
        # No attributes and velocities, which nuScenes has and KITTI has not.
        pred_attrs=False, pred_velo=False, bbox_code_size=7,
        group_reg_dims=(2, 1, 3, 1),  # offset, depth, size, rotation
        cls_branch=(64, ), reg_branch=((64, ), (64, ), (64, ), (64, )), dir_branch=(64, ),
        # Predictions start at the mean depth (with its deviation) and size of a class, in metres: there are
        # too few steps to get there first.
        bbox_coder=dict(
            code_size=7, base_depths=((24.0, 14.0), ),
            base_dims=((0.44, 1.65, 0.50), (1.76, 1.73, 0.62), (4.12, 1.56, 1.73)))),
    train_cfg=dict(code_weight=[1.0, 1.0, 0.2, 1.0, 1.0, 1.0, 1.0]),
    test_cfg=dict(nms_pre=100, nms_thr=0.3, score_thr=0.05, max_per_img=50))

load_image = dict(type='LoadImageFromFileMono3D')
train_pipeline = [
    load_image,
    dict(type='LoadAnnotations3D', with_bbox=True, with_label=True, with_attr_label=False,
         with_bbox_3d=True, with_label_3d=True, with_bbox_depth=True),
    dict(type='RandomFlip3D', flip_ratio_bev_horizontal=0.5),
    dict(type='Pack3DDetInputs', keys=['img', 'gt_bboxes', 'gt_bboxes_labels', 'gt_bboxes_3d',
                                       'gt_labels_3d', 'centers_2d', 'depths'])
]
# The head divides by the scale factor, which the resizing sets.
test_pipeline = [
    load_image,
    dict(type='mmdet.Resize', scale_factor=1.0),
    dict(type='Pack3DDetInputs', keys=['img'])
]
train_dataloader = dict(
    batch_size=4, num_workers=0, persistent_workers=False, sampler=dict(type='InfiniteSampler'),
    dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=8, num_workers=0, persistent_workers=False, dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(_delete_=True, type='CentreDistanceAP')
test_evaluator = val_evaluator

# As in the pre-training, Muon gets much further than AdamW in so few steps, from random weights as well.
max_iters = 400
optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='ConvMuon', lr=5e-3, weight_decay=0.01),
    clip_grad=dict(max_norm=35, norm_type=2))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=20),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=20, end=max_iters)
]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=max_iters)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=max_iters), visualization=dict(draw=False))
log_processor = dict(by_epoch=False)
