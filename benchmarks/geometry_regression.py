# The recommended recipe without its contrasts: the same head on the same images. benchmarks/transfer.py and
# real_frames.py give it as much time, to tell what the contrasts are worth.
# Batch size 4 (1 process x 4 frames), float32.
_base_ = '../configs/simipu_r18-depth-only_1xb4-500iters_synthetic.py'

model = dict(depth_head=dict(type='GeometryHead'))

train_pipeline = [
    *_base_.train_pipeline[:-1],
    dict(type='RandomConvolveImages'),
    dict(type='DescribeSurroundings'),
    dict(type='DescribeOccupancy'),
    _base_.train_pipeline[-1]
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
