# The original's settings, against which the configs of this folder measure one change each: an image
# backbone up to stride 32 that starts as PyTorch initialises it, point features that see intensity only,
# pairs of the whole Hungarian assignment however far apart, projections as wide as the features, keys
# detached after their projection, no false negative left out. Each frame has a scale of its own, and the
# second view its points in an order of its own.
#
# Not expressed here are the original's errors, which this package cannot make. It took a pixel's feature
# from up to one cell (32 pixels) off, and in a batch of images of several sizes from another place
# altogether; it mirrored pixels to W - u instead of W - 1 - u; and it kept points that no image shows as
# pairs, with features of zeros.
#
# Batch size 32 (8 GPUs x 4 frames), float32 (--amp for mixed precision), here and in every row.
_base_ = [
    '../_base_/models/simipu_r50.py', '../_base_/datasets/kitti.py',
    '../_base_/schedules/hybrid_exp_100e.py', '../_base_/default_runtime.py'
]

num_sampled_points = 1024
loss = dict(_delete_=True, type='InfoNCELoss', temperature=0.07, mask_same_cell=False)
model = dict(
    point_encoder=dict(_delete_=True, type='PointNet2Encoder', in_channels=4, use_xyz=False),
    matcher=dict(_delete_=True, type='HungarianMatcher'),
    intra_head=dict(detach_key='projection', loss=loss),
    inter_head=dict(detach_key='projection', query_projector=dict(hidden_channels=None), loss=loss))

changes = dict(ResizeImages=dict(share_in_batch=False), PointCloudSecondView=dict(shuffle=True))
train_pipeline = [dict(step, **changes.get(step['type'], {})) for step in _base_.train_pipeline]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
