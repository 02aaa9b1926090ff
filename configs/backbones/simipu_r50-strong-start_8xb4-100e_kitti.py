# From weights that are strong already: of ImageNet, of nuImages, or self-supervised. The nearer a layer is to the
# image, the more general is what it has learned, and the smaller its learning rate. The file's own normalisation must
# be that of model.data_preprocessor.
# Batch size 32 (8 GPUs x 4 frames), float32 (--amp for mixed precision).
_base_ = '../simipu_r50_8xb4-100e_kitti.py'

weights = 'data/pretrained/resnet50_imagenet.pth'
model = dict(img_backbone=dict(init_cfg=dict(_delete_=True, type='Pretrained', checkpoint=weights)))
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={
    'img_backbone.conv1': dict(lr_mult=0.05),
    'img_backbone.bn1': dict(lr_mult=0.05),
    'img_backbone.layer1': dict(lr_mult=0.1),
    'img_backbone.layer2': dict(lr_mult=0.2),
    'img_backbone.layer3': dict(lr_mult=0.4),
    'img_backbone.layer4': dict(lr_mult=0.8)
}))
