# AdamW for the point encoder, SGD for the image backbone and the projections, and an exponential
# decay by epoch for both, as published. The settings released name
# 4 frames a GPU, not how many GPUs: the rates are taken to be those of a batch of 32.
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='HybridOptimWrapperConstructor',
    optimizer=dict(
        point_encoder=dict(type='AdamW', lr=1e-3, betas=(0.95, 0.99), weight_decay=0.01, fused=True),
        default=dict(type='SGD', lr=0.03, momentum=0.9, weight_decay=1e-4, fused=True)))
# Without an explicit end MMEngine freezes the rate where a prolonged training was first to stop.
param_scheduler = dict(type='ExponentialLR', gamma=0.99, by_epoch=True, end=10**9)

train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=100, val_interval=5)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
auto_scale_lr = dict(enable=False, base_batch_size=32)
