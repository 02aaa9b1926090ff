# The original as it was, for comparison: its settings, and its projection errors (original_projection.py in
# this folder, which must be on PYTHONPATH). Images of several sizes, as in the original, have as many pixels on
# average as those of simipu_synthetic.py; forward and backward take about 5% less time.
_base_ = '../configs/ablations/simipu_r18-reference_1xb4-500iters_synthetic.py'

custom_imports = dict(imports=['simipu', 'original_projection'])
model = dict(type='OriginalProjectionSimIPU')
train_pipeline = _base_.train_pipeline
train_pipeline[3]['scale'] = [(336, 112), (432, 144)]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
