"""Monocular depth on NYU Depth v2, in mmsegmentation's layout, from the ResNet-50 of ``simipu_kitti.py``.

python tools/export_backbone.py CHECKPOINT work_dirs/simipu_kitti/backbone.pth
"""
_base_ = ['_base_/dense_depth_r50.py', 'mmseg::_base_/datasets/nyu.py']

model = dict(
    backbone=dict(
        init_cfg=dict(type='Pretrained', checkpoint='work_dirs/simipu_kitti/backbone.pth')),
    decode_head=dict(max_depth=10))

load = [dict(type='LoadImageFromFile'), dict(type='LoadDepthAnnotation', depth_rescale_factor=1e-3)]
pack = dict(type='PackSegInputs')
# The base's pipelines are made for a diffusion model, and need albumentations.
train_pipeline = [
    *load,
    dict(type='RandomFlip', prob=0.5),
    dict(type='RandomCrop', crop_size=(416, 544)),
    dict(type='PhotoMetricDistortion'), pack
]
train_dataloader = dict(num_workers=4, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=[*load, pack]))
test_dataloader = val_dataloader
