# The original's choices (see simipu_r50-reference_8xb4-100e_kitti.py) in the small model of simipu_synthetic.py,
# to compare changes on a CPU, with 128 sampled points a frame. The optimizer stays that of the small recipe, for
# its few iterations. benchmarks/ablations.py makes each row's change on it.
# Batch size 4 (1 process x 4 frames), float32.
_base_ = '../simipu_r18_1xb4-500iters_synthetic.py'

num_sampled_points = 128
loss = dict(type='InfoNCELoss', temperature=0.07, mask_same_cell=False)
model = dict(
    img_backbone=dict(out_indices=(2, )),
    img_level=-1,
    point_encoder=dict(use_xyz=False, num_points=(512, num_sampled_points)),
    matcher=dict(_delete_=True, type='HungarianMatcher'),
    intra_head=dict(detach_key='projection', loss=dict(_delete_=True, **loss)),
    inter_head=dict(
        _delete_=True,
        type='ContrastiveHead',
        detach_key='projection',
        query_projector=dict(type='ProjectionMLP', in_channels=256, out_channels=128),
        key_projector=dict(type='ProjectionMLP', in_channels=256, out_channels=128),
        loss=loss))

train_pipeline = [
    *_base_.load_and_filter,
    dict(type='ResizeImages', scale=[(384, 128), (576, 192)], keep_ratio=True, share_in_batch=False),
    dict(type='FlipImages', prob=0.5),
    dict(type='SamplePoints', num_points=_base_.num_points, visible_share=1.0),
    dict(type='PointCloudSecondView', shuffle=True),
    dict(type='PackPairedInputs')
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
