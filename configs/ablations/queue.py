# Keys of past batches are further negatives of the pixels.
_base_ = './simipu_{{$SIMIPU_ABLATION:kitti}}_reference.py'
model = dict(inter_head=dict(queue_size=16 * _base_.num_sampled_points))
