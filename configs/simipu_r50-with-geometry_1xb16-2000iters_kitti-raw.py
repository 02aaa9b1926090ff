# ResNet-50 on one GPU in an afternoon or less, by the recipe that we recommend for short trainings (docs/results.md):
# the contrasts of the last two stages, beside them the depth of all visible points, the surface around each and which
# cells beside it are occupied; images of random textures; Muon for the image backbone.
# python tools/train.py configs/simipu_r50-with-geometry_1xb16-2000iters_kitti-raw.py --amp
# Batch size 16 (1 process x 16 frames), float32 (--amp for mixed precision).
_base_ = './simipu_r50_16xb2-100e_kitti-raw.py'

inter_head = _base_.model.inter_head
widths = (1024, 2048)  # of the stages at strides 16 and 32
model = dict(
    img_backbone=dict(out_indices=(2, 3)),
    img_level=(0, 1),
    inter_head=[dict(inter_head, query_projector=dict(inter_head.query_projector, in_channels=width))
                for width in widths],
    depth_head=dict(type='GeometryHead', in_channels=widths))

scale = (832, 256)
load_points_and_images = [dict(type='SampleCameras', num_cameras=1), *_base_.train_pipeline[:3]]
train_pipeline = [
    *load_points_and_images,
    # Neither zoomed nor cropped: where a pixel lies tells of its depth, as it will in the detector.
    dict(type='ResizeImages', scale=scale, keep_ratio=True),
    *_base_.train_pipeline[4:-1],
    dict(type='RandomConvolveImages'),
    dict(type='DescribeSurroundings'),
    dict(type='DescribeOccupancy'),
    dict(type='PackPairedInputs')
]
test_pipeline = [*_base_.test_pipeline[:3], dict(type='ResizeImages', scale=scale, keep_ratio=True),
                 *_base_.test_pipeline[4:]]

train_dataloader = dict(batch_size=16, num_workers=8, sampler=dict(infinite=True),
                        dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(batch_size=8, dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

optim_wrapper = dict(optimizer=dict(
    _delete_=True,
    img_backbone=dict(type='ConvMuon', lr=3e-3, weight_decay=0.01),
    default=dict(type='AdamW', lr=1e-3, weight_decay=0.01)))
max_iters = 2000
warmup = min(100, (max_iters + 1) // 2)  # iterations
train_cfg = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=max_iters, val_interval=1000)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=warmup),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=warmup, end=max_iters)
]
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=500))
log_processor = dict(by_epoch=False)
auto_scale_lr = dict(base_batch_size=16)
