# A classifier of generated objects, as a stand-in for ImageNet where there are neither its pictures nor its
# weights: the backbone, optimizer and schedule of simipu_synthetic.py. generated_objects.py in this folder must be
# on PYTHONPATH.
# Batch size 32 (1 process x 32 pictures of 64 x 64).
_base_ = '../configs/simipu_r18_1xb4-500iters_synthetic.py'

custom_imports = dict(imports=['simipu', 'generated_objects'])
model = dict(
    _delete_=True,
    type='ObjectClassifier',
    img_backbone=_base_.model.img_backbone,
    in_channels=256,
    data_preprocessor=dict(type='mmengine.ImgDataPreprocessor', bgr_to_rgb=True, mean=[123.675, 116.28, 103.53],
                           std=[58.395, 57.12, 57.375]))
train_dataloader = dict(batch_size=32, dataset=dict(_delete_=True, type='GeneratedObjects'),
                        collate_fn=dict(_delete_=True, type='pseudo_collate'))
val_dataloader = None
val_cfg = None
val_evaluator = None
