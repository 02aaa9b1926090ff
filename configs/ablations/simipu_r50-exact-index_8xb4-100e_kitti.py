# The same points are sampled in both views, and each is paired with itself.
_base_ = './simipu_r50-reference_8xb4-100e_kitti.py'
train_pipeline = [dict(step, shuffle=False) if step['type'] == 'PointCloudSecondView' else step
                  for step in _base_.train_pipeline]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
model = dict(matcher=dict(_delete_=True, type='IndexMatcher'))
