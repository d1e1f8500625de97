# a small Semantic FPN for 128 px images of the drawn shapes, on a CPU
_base_ = './semantic_fpn.py'

channels = 64
model = dict(
    data_preprocessor=dict(size=(128, 128)),
    backbone=dict(
        # the backbone of the demo's detector, because it knows the shapes
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/demo/detection/training/epoch_16.pth',
            prefix='backbone.',
        ),
    ),
    neck=dict(
        out_channels=channels,
        norm_cfg=dict(type='GN', num_groups=16),
    ),
    decode_head=dict(
        in_channels=[channels] * 4,
        channels=channels,
        dropout_ratio=0.0,
        num_classes=7,
        # the background weighs as much as the six kinds of shapes together, because five sixths of
        # all pixels are background
        loss_decode=dict(class_weight=[0.2, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]),
    ),
)
