# What all segmentors share; a config adds its backbone and that one's channels. Batch norms become
# SyncBN in distributed runs, see sync_bn in the schedule.
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
        seg_pad_val=255,
    ),
    backbone=dict(out_indices=(0, 1, 2, 3), norm_eval=False, with_cp=False),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)
