# the drawn towns of tools/make_aerial.py, in Potsdam's layout and classes:
#   data/aerial/{img_dir,ann_dir}/{train,val}/*.png
dataset_type = 'PotsdamDataset'
data_root = 'data/aerial/'
data_source = dict(type=dataset_type, name='.venv/bin/python tools/make_aerial.py')
num_classes = 6
crop_size = (128, 128)
slide = dict(mode='slide', crop_size=crop_size, stride=(85, 85))

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    # ends the run at a label map that does not belong to its image
    dict(type='CheckSegMap', num_classes=num_classes),
    dict(
        type='RandomFlip', prob=[0.25, 0.25, 0.25], direction=['horizontal', 'vertical', 'diagonal']
    ),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='CheckSegMap', num_classes=num_classes),
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
        data_root=data_root,
        data_prefix=dict(img_path='img_dir/train', seg_map_path='ann_dir/train'),
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
        data_root=data_root,
        data_prefix=dict(img_path='img_dir/val', seg_map_path='ann_dir/val'),
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(
    type='SelectiveIoUMetric', iou_metrics=['mIoU', 'mFscore'], ignore_classes=['clutter']
)
test_evaluator = val_evaluator
