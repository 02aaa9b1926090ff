# The recommended recipe without its contrasts: the same head on the same images. benchmarks/transfer.py and
# real_frames.py give it as much time, to tell what the contrasts are worth.
# Batch size 4 (1 process x 4 frames), float32.
_base_ = '../configs/simipu_r18-with-geometry_1xb4-500iters_synthetic.py'

model = dict(
    _delete_=True,
    type='DepthPretraining',
    data_preprocessor=_base_.model.data_preprocessor,
    img_backbone=_base_.model.img_backbone,
    img_level=_base_.model.img_level,
    depth_head=_base_.model.depth_head)

train_pipeline = [step for step in _base_.train_pipeline if step['type'] != 'PointCloudSecondView']
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

val_evaluator = [dict(type='DepthProbeMetric')]
test_evaluator = val_evaluator
