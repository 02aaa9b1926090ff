# The small SimIPU with the depth of all visible points as a third loss.
# python tools/train.py configs/simipu_r18-with-depth_1xb4-500iters_synthetic.py
# Batch size 4 (1 process x 4 frames), float32 (--amp for bfloat16 on a CPU).
_base_ = './simipu_r18_1xb4-500iters_synthetic.py'

model = dict(depth_head=dict(type='DepthRegressionHead', in_channels=(128, 256)))
