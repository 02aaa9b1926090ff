# The original as it was, for comparison: its settings, and its projection errors (original_projection.py in
# this folder, which must be on PYTHONPATH).
_base_ = '../configs/ablations/simipu_synthetic_reference.py'

custom_imports = dict(imports=['simipu', 'original_projection'])
model = dict(type='OriginalProjectionSimIPU')
