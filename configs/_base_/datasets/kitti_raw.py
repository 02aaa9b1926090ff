# KITTI's raw data, or its odometry sequences: the left and right colour camera; there are no labels.
# Info files: python tools/create_data.py kitti_raw --root-path data/kitti_raw --out-dir data/kitti_raw
#         or: python tools/create_data.py kitti_odometry --root-path ... --out-dir ...
_base_ = './kitti.py'

data_root = 'data/kitti_raw/'
train_dataloader = dict(batch_size=2, dataset=dict(data_root=data_root))
val_dataloader = dict(batch_size=2, dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
