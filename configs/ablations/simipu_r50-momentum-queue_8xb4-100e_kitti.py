# Keys of past batches are further negatives of the pixels, and all keys are those of a moving average.
_base_ = './simipu_r50-reference_8xb4-100e_kitti.py'
model = dict(key_momentum=0.01, inter_head=dict(queue_size=16 * _base_.num_sampled_points))
