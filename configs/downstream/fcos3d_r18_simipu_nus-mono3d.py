"""A small FCOS3D for the backbone of ``simipu_synthetic.py``: ResNet-18 up to stride 16.

It is what tools/quickstart.sh loads its backbone into; there is no pre-training of this size on nuScenes.
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
        init_cfg=dict(checkpoint='work_dirs/simipu_synthetic/backbone.pth')),
    neck=dict(in_channels=[64, 128, 256]))
