# The ResNet-50 that SimIPU pre-trains, as a detector trains it (as a whole), and how its images are normalised.
simipu_images = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True)
simipu_resnet50 = dict(
    depth=50,
    style='pytorch',
    frozen_stages=-1,
    norm_cfg=dict(type='BN', requires_grad=True),
    norm_eval=False)
