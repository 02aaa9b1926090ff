# The paper's model (as its released settings have it): ResNet-50 at stride 32 and PointNet++, which starts from
# 16384 points and ends at 1024. Hungarian matching here gives up pairs that are farther apart than
# max_distance, instead of pairing points that are not the same.
model = dict(
    type='SimIPU',
    # A detector that starts from this backbone must normalise its images in the same way.
    data_preprocessor=dict(
        type='PairedDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=32),
    img_backbone=dict(
        type='mmdet.ResNet',
        depth=50,
        num_stages=4,
        out_indices=(3, ),
        frozen_stages=-1,
        norm_cfg=dict(type='BN', requires_grad=True),
        norm_eval=False,
        style='pytorch'),
    point_encoder=dict(type='PointNet2Encoder', in_channels=4),
    matcher=dict(type='HungarianMatcher', max_distance=1.0),
    intra_head=dict(
        type='ContrastiveHead',
        query_projector=dict(type='ProjectionMLP', in_channels=1024, out_channels=128),
        loss=dict(type='InfoNCELoss', temperature=0.07)),
    inter_head=dict(
        type='ContrastiveHead',
        query_projector=dict(type='ProjectionMLP', in_channels=2048, out_channels=128),
        key_projector=dict(type='ProjectionMLP', in_channels=1024, out_channels=128),
        loss=dict(type='InfoNCELoss', temperature=0.07)))
