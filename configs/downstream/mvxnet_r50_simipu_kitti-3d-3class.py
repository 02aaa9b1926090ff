"""MVX-Net, which fuses LiDAR and camera, on KITTI from the ResNet-50 of ``simipu_kitti.py``.

    python tools/export_backbone.py CHECKPOINT work_dirs/simipu_kitti/backbone.pth

It needs a GPU: mmcv has no CPU version of the scatter in its voxel encoder.

The normalisation is that of the pre-training, the image backbone trains as a whole, and the detector
that the base starts from (pre-trained on COCO's labels) is left out. Objects of other frames are pasted
into cloud and image alike, as in the paper's MoCa row; see docs/downstream.md for what differs.
"""
_base_ = 'mmdet3d::mvxnet/mvxnet_fpn_dv_second_secfpn_8xb2-80e_kitti-3d-3class.py'

custom_imports = dict(imports=['simipu', 'simipu.downstream'], allow_failed_imports=False)

model = dict(
    data_preprocessor=dict(
        mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True),
    img_backbone=dict(
        style='pytorch',
        frozen_stages=-1,
        norm_cfg=dict(type='BN', requires_grad=True),
        norm_eval=False,
        init_cfg=dict(type='Pretrained', checkpoint='work_dirs/simipu_kitti/backbone.pth')))
load_from = None

# How many objects, and of what kind, is as mmdet3d has it for detectors without camera.
cut_and_paste = dict(
    type='MultiModalCutAndPaste',
    max_covered=[0.0, 0.3, 0.5, 0.7],
    db_sampler=dict(
        type='DataBaseSamplerWithImages',
        data_root=_base_.data_root,
        info_path=_base_.data_root + 'kitti_dbinfos_train.pkl',
        ann_file=_base_.data_root + 'kitti_infos_train.pkl',
        img_prefix=_base_.data_root + 'training/image_2',
        rate=1.0,
        prepare=dict(
            filter_by_difficulty=[-1],
            filter_by_min_points=dict(Car=5, Pedestrian=10, Cyclist=10)),
        classes=_base_.class_names,
        sample_groups=dict(Car=12, Pedestrian=6, Cyclist=6)))
# After LoadPointsFromFile, LoadImageFromFile and LoadAnnotations3D.
train_pipeline = [*_base_.train_pipeline[:3], cut_and_paste, *_base_.train_pipeline[3:]]
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=train_pipeline)))
