# Monocular depth: ResNet-50, a decoder in the style of DenseDepth and the scale-invariant log loss.
# It is a model of mmsegmentation: pip install -r requirements/depth.txt
_base_ = ['mmseg::_base_/default_runtime.py', 'mmseg::_base_/schedules/schedule_25k.py']

custom_imports = dict(imports=['simipu', 'simipu.downstream.depth'], allow_failed_imports=False)

model = dict(
    type='DepthEstimator',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        seg_pad_val=0,  # no depth
        size_divisor=32,
        test_cfg=dict(size_divisor=32)),
    backbone=dict(
        type='mmdet.ResNet', depth=50, norm_cfg=dict(type='BN', requires_grad=True), norm_eval=False),
    decode_head=dict(type='DenseDepthHead', in_channels=[256, 512, 1024, 2048]),
    test_cfg=dict(mode='whole'))

optim_wrapper = dict(optimizer=dict(lr=1e-4, weight_decay=0.01))
