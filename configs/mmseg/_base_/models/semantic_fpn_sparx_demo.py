# a small Semantic FPN for 128 px images of the drawn shapes, on a CPU
_base_ = ['./semantic_fpn_sparx.py', '../../../_base_/backbones/sparx_mamba_demo.py']

channels = 64
model = dict(
    data_preprocessor=dict(size=(128, 128)),
    # too short a run to overfit: nothing is dropped
    backbone=dict(
        arch={{_base_.arch}},
        drop_path_rate=0.0,
        # the backbone of the demo's detector, which knows the shapes
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/demo/detection/training/epoch_16.pth',
            prefix='backbone.',
        ),
    ),
    neck=dict(
        in_channels={{_base_.embed_dims}},
        out_channels=channels,
        norm_cfg=dict(type='GN', num_groups=16),
    ),
    decode_head=dict(
        in_channels=[channels] * 4,
        channels=channels,
        dropout_ratio=0.0,
        num_classes=7,
        # the background, five sixths of all pixels, weighs as much as the
        # six kinds of shapes
        loss_decode=dict(class_weight=[0.2, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]),
    ),
)
