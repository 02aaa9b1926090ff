# LiDAR depth regression with ResNet-50: what benchmarks/real_frames.py measures the recommended recipe against.
# Batch size 16 (1 GPU x 16 frames), float32 (real_frames.py trains it in mixed precision).
_base_ = '../configs/simipu_r50-with-geometry_1xb16-2000iters_kitti-raw.py'

model = dict(
    _delete_=True,
    type='DepthPretraining',
    data_preprocessor=_base_.model.data_preprocessor,
    img_backbone=_base_.model.img_backbone,
    img_level=_base_.model.img_level,
    occlusion=_base_.model.occlusion,
    depth_head=dict(type='DepthRegressionHead', in_channels=_base_.widths))

train_pipeline = [step for step in _base_.train_pipeline if step['type'] not in (
    'PointCloudSecondView', 'RandomConvolveImages', 'DescribeSurroundings', 'DescribeOccupancy')]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

val_evaluator = [dict(type='DepthProbeMetric')]
test_evaluator = val_evaluator
