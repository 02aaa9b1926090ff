"""A small FCOS3D from the ResNet-18 that configs/simipu_synthetic.py pre-trains.

As that backbone, it ends at stride 16; the FPN's further levels are made from there.
"""
_base_ = './fcos3d_r50_simipu_nus-mono3d.py'

model = dict(
    backbone=dict(
        depth=18,
        num_stages=3,
        strides=(1, 2, 2),
        dilations=(1, 1, 1),
        out_indices=(0, 1, 2),
        dcn=None,
        stage_with_dcn=(False, False, False),
        init_cfg=dict(checkpoint='work_dirs/quickstart/backbone.pth')),
    neck=dict(in_channels=[64, 128, 256]))
