# Semantic FPN on a SparX-Mamba backbone; the size of the backbone and the
# neck's in_channels come from semantic_fpn_sparx_{t,s,b}.py. Batch norms
# become SyncBN in distributed runs, see sync_bn in the schedule.
norm_cfg = dict(type='BN')
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        size=(512, 512),
        pad_val=0,
        seg_pad_val=255),
    backbone=dict(
        type='SparXMamba',
        out_indices=(0, 1, 2, 3),
        attn_scale='length',
        drop_path_rate=0.1,
        norm_cfg=norm_cfg,
        norm_eval=False,
        with_cp=False),
    neck=dict(type='FPN', out_channels=256, num_outs=4),
    decode_head=dict(
        type='FPNHead',
        in_channels=[256, 256, 256, 256],
        in_index=[0, 1, 2, 3],
        feature_strides=[4, 8, 16, 32],
        channels=128,
        dropout_ratio=0.1,
        num_classes=150,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(
            type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0)),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'))
