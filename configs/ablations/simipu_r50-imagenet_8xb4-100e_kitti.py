# Paper's best row: the image backbone starts from ImageNet weights. Any ResNet-50 in torchvision's layout
# will do that was trained with the image normalisation of the data preprocessor, as torchvision's own were.
_base_ = './simipu_r50-reference_8xb4-100e_kitti.py'

imagenet_weights = 'data/pretrained/resnet50_imagenet.pth'
model = dict(img_backbone=dict(
    init_cfg=dict(_delete_=True, type='Pretrained', checkpoint=imagenet_weights)))
