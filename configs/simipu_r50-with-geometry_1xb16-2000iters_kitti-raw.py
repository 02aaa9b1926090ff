# A short training of ResNet-50 on one GPU, by the recipe that the small network was measured with (docs/results.md,
# simipu_r18-with-geometry_1xb4-500iters_synthetic.py): the contrasts of the last two stages, and beside them the depth
# of all visible points, the surface around them and which cells beside them are occupied; images of random textures;
# Muon. Of ResNet-50 one run has been measured (docs/results.md).
# python tools/train.py configs/simipu_r50-with-geometry_1xb16-2000iters_kitti-raw.py --amp
# Batch size 16 (1 GPU x 16 frames), float32 (--amp for mixed precision); --auto-scale-lr fits the learning rates to
# another batch size. A frame takes 60 ms of a core to load: of fewer cores than num_workers, the GPU waits for them.
_base_ = './simipu_r50_16xb2-100e_kitti-raw.py'

num_cameras = 1  # of each frame in training, drawn anew each time
scale = (832, 256)  # (width, height) that images are fitted into
widths = (1024, 2048)  # of the stages at strides 16 and 32

model = dict(
    img_backbone=dict(out_indices=(2, 3)),
    img_level=(0, 1),
    max_pairs_per_frame=None,  # of one camera there are no more than the encoder's 1024 points
    inter_head=[
        dict(type='ContrastiveHead',
             query_projector=dict(type='ProjectionMLP', in_channels=width, out_channels=128, num_layers=1),
             key_projector=dict(type='ProjectionMLP', in_channels=1024, out_channels=128),
             loss=dict(type='InfoNCELoss', temperature=0.2)) for width in widths
    ],
    depth_head=dict(type='GeometryHead', in_channels=widths))

train_pipeline = [
    dict(type='SampleCameras', num_cameras=num_cameras),
    *_base_.train_pipeline[:3],
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
    default=dict(type='AdamW', lr=1e-3, weight_decay=0.01, fused=True)))
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
