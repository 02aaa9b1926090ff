_base_ = '../../../configs/_base_/default_runtime.py'
default_scope = 'mmengine'  # asked for a model or a data set, mmdet3d's registries import all of mmdet3d, in 8 s
custom_imports = dict(imports=['simipu', 'toy_project'], allow_failed_imports=False)
model = dict(type='ToyModel')
train_dataloader = dict(
    dataset=dict(type='ToyData'),
    batch_size=4,
    num_workers=0,
    sampler=dict(type='ResumableSampler', infinite=True),
    collate_fn=dict(type='default_collate'))
val_dataloader = dict(
    dataset=dict(type='ToyData', length=4),
    batch_size=2,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'))
val_cfg = dict()
val_evaluator = dict(type='ToyMetric')
train_cfg = dict(by_epoch=False, max_iters=12, val_interval=6)
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='HybridOptimWrapperConstructor',
    optimizer=dict(point_encoder=dict(type='AdamW', lr=1e-3), default=dict(type='SGD', lr=1e-3, momentum=0.9)))
param_scheduler = dict(type='CosineAnnealingLR', by_epoch=False, T_max=1000, end=10**9)
default_hooks = dict(
    checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=2, max_keep_ckpts=2),
    logger=dict(type='LoggerHook', interval=1))
log_processor = dict(by_epoch=False)
visualizer = dict(type='Visualizer', vis_backends=[dict(type='LocalVisBackend')], name='visualizer')
randomness = dict(seed=0)
custom_hooks = [dict(hook, type=f'{hook["type"]}') for hook in _base_.custom_hooks]
custom_hooks = [*_base_.custom_hooks, dict(type='Spoil'), dict(type='RecordLosses'), dict(type='RecordResources')]
