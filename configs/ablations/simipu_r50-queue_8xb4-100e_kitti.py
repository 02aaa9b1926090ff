# Keys of past batches are further negatives of the pixels.
_base_ = './simipu_r50-reference_8xb4-100e_kitti.py'
model = dict(inter_head=dict(queue_size=16 * _base_.num_sampled_points))
