# SimIPU + geometry without its contrasts: the depth of all visible points, the surface around each and which cells
# beside it are occupied, with images of random textures. To be taken in the place of LiDAR depth regression
# (docs/results.md).
# python tools/train.py configs/simipu_r18-geometry-only_1xb4-500iters_synthetic.py
# Batch size 4 (1 process x 4 frames), float32 (--amp for bfloat16 on a CPU).
_base_ = './simipu_r18-depth-only_1xb4-500iters_synthetic.py'

model = dict(depth_head=dict(type='GeometryHead'))

train_pipeline = [
    *_base_.train_pipeline[:-1],
    dict(type='RandomConvolveImages'),
    dict(type='DescribeSurroundings'),
    dict(type='DescribeOccupancy'),
    _base_.train_pipeline[-1]
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
