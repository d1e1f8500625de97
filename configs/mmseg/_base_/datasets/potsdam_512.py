# ISPRS Potsdam, 6000 px scenes, cut into patches of 512 px by mmseg's tools/dataset_converters/potsdam.py:
#   data/potsdam/{img_dir,ann_dir}/{train,val}/*.png
# label 0 (the border of objects) has no class. Scene 7_10 is left out of the training, because its
# labels are faulty; tools/list_areas.py writes the list without it:
#   data/potsdam/splits/train.txt
dataset_type = 'PotsdamDataset'
data_root = 'data/potsdam/'
data_source = dict(type=dataset_type, name='docs/remote_sensing.md says how it is made')
num_classes = 6
crop_size = (512, 512)
# for the model's test_cfg: windows that overlap by a third, whose logits are averaged
slide = dict(mode='slide', crop_size=crop_size, stride=(341, 341))

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    # ends the run at a label map that does not belong to its image
    dict(type='CheckSegMap', num_classes=num_classes),
    dict(type='RandomResize', scale=(512, 512), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='RandomCrop', crop_size=crop_size, cat_max_ratio=0.75),
    # there is no up in an image from above
    dict(
        type='RandomFlip', prob=[0.25, 0.25, 0.25], direction=['horizontal', 'vertical', 'diagonal']
    ),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='CheckSegMap', num_classes=num_classes),
    dict(type='PackSegInputs'),
]
# --tta: as it is and flipped in both directions
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='TestTimeAug',
        transforms=[
            [
                dict(type='RandomFlip', prob=0.0),
                dict(type='RandomFlip', prob=1.0, direction='horizontal'),
                dict(type='RandomFlip', prob=1.0, direction='vertical'),
            ],
            [dict(type='LoadAnnotations')],
            [dict(type='CheckSegMap', num_classes=num_classes)],
            [dict(type='PackSegInputs')],
        ],
    ),
]
train_dataloader = dict(
    batch_size=2,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='splits/train.txt',
        data_prefix=dict(img_path='img_dir/train', seg_map_path='ann_dir/train'),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path='img_dir/val', seg_map_path='ann_dir/val'),
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader

# clutter is trained and in the table of classes, and no part of the means
val_evaluator = dict(
    type='SelectiveIoUMetric', iou_metrics=['mIoU', 'mFscore'], ignore_classes=['clutter']
)
test_evaluator = val_evaluator
