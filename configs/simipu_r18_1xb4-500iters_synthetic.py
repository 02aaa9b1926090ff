# A small SimIPU for generated scenes (or any folder in KITTI's layout) that trains on a CPU: ResNet-18
# at strides 8 and 16, whole images of 384 x 128, 256 sampled points a frame.
# python tools/create_data.py synthetic --out-dir data/synthetic --num-frames 1200 --seed 0
# python tools/train.py configs/simipu_synthetic.py        (the short name of this file)
# Batch size 4 (1 process x 4 frames), float32 (--amp for bfloat16 on a CPU).
_base_ = [
    '_base_/models/simipu_r50.py', '_base_/datasets/kitti.py',
    '_base_/schedules/hybrid_exp_100e.py', '_base_/default_runtime.py'
]

# Unlike the paper's model, for the sake of few iterations (docs/choices.md): the stage before the last is
# contrasted, too, which costs little and makes it learn sooner; and a single layer projects the pixels, at a
# higher temperature and with more points, which together brought it further.
model = dict(
    img_backbone=dict(depth=18, num_stages=3, strides=(1, 2, 2), dilations=(1, 1, 1),
                      out_indices=(1, 2)),
    img_level=(0, 1),
    # So few points are cheaper in PointNet++.
    point_encoder=dict(
        _delete_=True,
        type='PointNet2Encoder',
        in_channels=4,
        num_points=(512, 256),
        radii=((0.8, 1.6), (3.2, 6.4)),
        num_samples=((16, 32), (16, 32)),
        sa_channels=(((16, 16, 32), (16, 16, 32)), ((64, 64, 128), (64, 64, 128))),
        aggregation_channels=(64, 256),
        fps_mods=('D-FPS', 'D-FPS'),
        fps_sample_range_lists=(-1, -1),
        use_xyz=True),
    intra_head=dict(query_projector=dict(in_channels=256)),
    inter_head=[
        dict(type='ContrastiveHead',
             query_projector=dict(type='ProjectionMLP', in_channels=width, out_channels=128, num_layers=1),
             key_projector=dict(type='ProjectionMLP', in_channels=256, out_channels=128),
             loss=dict(type='InfoNCELoss', temperature=0.2))
        for width in (128, 256)
    ])

data_root = 'data/synthetic/'
num_points = 2048
load_and_filter = _base_.train_pipeline[:3]
train_pipeline = [
    *load_and_filter,
    # Neither zoomed nor cropped: where a pixel lies tells of its depth, as it will in the detector.
    dict(type='ResizeImages', scale=(384, 128), keep_ratio=True),
    # Colours and light are left as they are: generated scenes vary enough in both.
    dict(type='FlipImages', prob=0.5),
    dict(type='SamplePoints', num_points=num_points, visible_share=1.0),
    dict(type='PointCloudSecondView'),
    dict(type='PackPairedInputs')
]
test_pipeline = [
    *load_and_filter,
    dict(type='ResizeImages', scale=(384, 128), keep_ratio=True),
    dict(type='SamplePoints', num_points=num_points, visible_share=1.0),
    dict(type='PackPairedInputs')
]

train_dataloader = dict(batch_size=4, num_workers=1, sampler=dict(infinite=True),
                        dataset=dict(data_root=data_root, pipeline=train_pipeline))
val_dataloader = dict(batch_size=8, num_workers=1,
                      dataset=dict(data_root=data_root, pipeline=test_pipeline))
test_dataloader = val_dataloader

# In so few iterations Muon brings the image backbone much further than AdamW, and that further than SGD.
optim_wrapper = dict(optimizer=dict(
    _delete_=True,
    img_backbone=dict(type='ConvMuon', lr=5e-3, weight_decay=0.01),
    default=dict(type='AdamW', lr=3e-3, weight_decay=0.01)))
max_iters = 500
warmup = min(20, (max_iters + 1) // 2)  # iterations
train_cfg = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=max_iters, val_interval=250)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=warmup),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=warmup, end=max_iters)
]
default_hooks = dict(logger=dict(interval=10),
                     checkpoint=dict(by_epoch=False, interval=250))
log_processor = dict(by_epoch=False)
auto_scale_lr = dict(base_batch_size=4)
