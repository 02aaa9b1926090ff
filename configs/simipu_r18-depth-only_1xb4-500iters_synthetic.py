# The rival of SimIPU at its size: the same small backbone, frames and schedule, trained by the depth of all
# visible points alone. An iteration costs less than one of SimIPU; benchmarks/transfer.py gives it as much time.
# python tools/train.py configs/simipu_r18-depth-only_1xb4-500iters_synthetic.py
# Batch size 4 (1 process x 4 frames), float32 (--amp for bfloat16 on a CPU).
_base_ = './simipu_r18_1xb4-500iters_synthetic.py'

model = dict(
    _delete_=True,
    type='DepthPretraining',
    data_preprocessor=_base_.model.data_preprocessor,
    img_backbone=_base_.model.img_backbone,
    img_level=_base_.model.img_level,
    depth_head=dict(type='DepthRegressionHead', in_channels=(128, 256)))

train_pipeline = [step for step in _base_.train_pipeline if step['type'] != 'PointCloudSecondView']
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

val_evaluator = [dict(type='DepthProbeMetric')]
test_evaluator = val_evaluator
