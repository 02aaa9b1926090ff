# The short name of the small recipe, which trains on a CPU.
_base_ = './simipu_r18_1xb4-500iters_synthetic.py'
