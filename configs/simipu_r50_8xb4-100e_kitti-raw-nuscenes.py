# SimIPU on KITTI raw and nuScenes in one run, half of each epoch from either, whatever their sizes.
# python tools/train.py configs/simipu_r50_8xb4-100e_kitti-raw-nuscenes.py
# Batch size 32 (8 GPUs x 4 frames), float32 (--amp for mixed precision).
# The two differ in cameras, image sizes and LiDARs; both are brought into one form, that batches may
# hold frames of either: two cameras, images of one size at most, and x, y, z only, as intensities of
# different LiDARs cannot be compared.
_base_ = ['_base_/models/simipu_r50.py', '_base_/schedules/hybrid_exp_100e.py',
          '_base_/default_runtime.py']

kitti_root = 'data/kitti_raw/'
nuscenes_root = 'data/nuscenes/'
backend_args = None

model = dict(
    point_encoder=dict(in_channels=3),
    occlusion=dict(cell=4, window=32),
    max_pairs_per_frame=2048)

load_kitti = [
    dict(type='LoadPairedPoints', use_dim=3, backend_args=backend_args),
    dict(type='LoadPairedImages', backend_args=backend_args),
    dict(type='PairedPointsRangeFilter', point_cloud_range=[0, -40, -3, 70.4, 40, 1])
]
load_nuscenes = [
    dict(type='LoadPairedPoints', use_dim=3, backend_args=backend_args),
    dict(type='LoadPairedImages', backend_args=backend_args),
    dict(type='PairedPointsRangeFilter', point_cloud_range=[-51.2, -51.2, -5, 51.2, 51.2, 3])
]
sample_cameras = dict(type='SampleCameras', num_cameras=2)
augment_images = [
    dict(type='ResizeImages', scale=[(1056, 594), (1408, 792)]),
    dict(type='CropImages', size=(1056, 384)),
    dict(type='FlipImages')
]
sample_points = dict(type='SamplePoints', num_points=16384, visible_share=1.0)

kitti = dict(
    type='PairedDataset',
    data_root=kitti_root,
    ann_file='simipu_infos_train.pkl',
    backend_args=backend_args,
    pipeline=[
        sample_cameras, *load_kitti, *augment_images, sample_points,
        dict(type='PointCloudSecondView', centre=[35.2, 0, -1]),
        dict(type='PackPairedInputs')
    ])
nuscenes = dict(
    type='PairedDataset',
    data_root=nuscenes_root,
    ann_file='simipu_infos_train.pkl',
    backend_args=backend_args,
    pipeline=[
        sample_cameras, *load_nuscenes, *augment_images, sample_points,
        dict(type='PointCloudSecondView', centre=[0, 0, -1]),
        dict(type='PackPairedInputs')
    ])
different_metainfo = ['dataset', 'split', 'version', 'info_version', 'categories']

train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    drop_last=True,
    # The share of each data set in an epoch, in their order; the epoch is as long as both together.
    sampler=dict(type='MixtureSampler', shares=[0.5, 0.5]),
    dataset=dict(
        type='ConcatDataset', datasets=[kitti, nuscenes], ignore_keys=different_metainfo))

finish_test = [
    # As large as the smallest images in training.
    dict(type='ResizeImages', scale=(1056, 594)),
    dict(type='CropImages', size=(1056, 384), mode='center'), sample_points,
    dict(type='PackPairedInputs')
]
val_kitti = dict(
    type='PairedDataset',
    data_root=kitti_root,
    ann_file='simipu_infos_val.pkl',
    test_mode=True,
    backend_args=backend_args,
    pipeline=[*load_kitti, *finish_test])
val_nuscenes = dict(
    type='PairedDataset',
    data_root=nuscenes_root,
    ann_file='simipu_infos_val.pkl',
    cameras=['CAM_FRONT', 'CAM_BACK'],
    test_mode=True,
    backend_args=backend_args,
    pipeline=[*load_nuscenes, *finish_test])
val_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='ResumableSampler', shuffle=False, seed=0),
    dataset=dict(
        type='ConcatDataset', datasets=[val_kitti, val_nuscenes], ignore_keys=different_metainfo))
test_dataloader = val_dataloader

val_evaluator = [dict(type='CrossModalRetrieval'), dict(type='DepthProbeMetric')]
test_evaluator = val_evaluator
