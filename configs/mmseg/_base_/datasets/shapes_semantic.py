# the drawn shapes of tools/make_shapes.py, as label maps:
#   data/shapes/{train,val}/*.png
#   data/shapes/labels/{train,val}/*.png
dataset_type = 'BaseSegDataset'
data_root = 'data/shapes/'
metainfo = dict(
    classes=('background', 'circle', 'square', 'triangle', 'star', 'ring', 'cross'),
    palette=[
        (0, 0, 0),
        (230, 60, 50),
        (60, 180, 75),
        (65, 105, 245),
        (255, 210, 30),
        (230, 60, 230),
        (60, 220, 230),
    ],
)
scale = (128, 128)

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    # ends the run at a label map that does not belong to its image
    dict(type='CheckSegMap', num_classes=7),
    dict(type='Resize', scale=scale, keep_ratio=True),
    dict(
        type='RandomFlip', prob=[0.25, 0.25, 0.25], direction=['horizontal', 'vertical', 'diagonal']
    ),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=scale, keep_ratio=True),
    # after Resize, because the label map must keep the size of the file
    dict(type='LoadAnnotations'),
    dict(type='CheckSegMap', num_classes=7),
    dict(type='PackSegInputs'),
]
# no workers, because the set is small and on a CPU they compete with the training
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        metainfo=metainfo,
        data_root=data_root,
        data_prefix=dict(img_path='train', seg_map_path='labels/train'),
        img_suffix='.png',
        reduce_zero_label=False,
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=4,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        metainfo=metainfo,
        data_root=data_root,
        data_prefix=dict(img_path='val', seg_map_path='labels/val'),
        img_suffix='.png',
        reduce_zero_label=False,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
