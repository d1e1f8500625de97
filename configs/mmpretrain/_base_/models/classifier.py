# A classifier with Swin's head: the output norm of the backbone, pooling, a linear layer. A config
# adds its backbone and the head's in_channels. Batch norms become SyncBN in distributed runs, see
# sync_bn in the schedule.
num_classes = 1000
model = dict(
    type='ImageClassifier',
    # mixes images and labels as model.train_cfg says
    data_preprocessor=dict(
        type='ClsDataPreprocessor',
        num_classes=num_classes,
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        to_rgb=True,
    ),
    backbone=dict(out_indices=(3,), norm_eval=False, with_cp=False),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=num_classes,
        init_cfg=dict(type='TruncNormal', layer='Linear', std=0.02, bias=0.0),
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
    ),
    # one of the two for each batch, with probability 0.5 each: timm's mixup 0.8 and cutmix 1.0
    train_cfg=dict(augments=[dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)]),
)
