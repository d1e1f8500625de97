_base_ = './imagenet_bs256.py'

test_pipeline = [
    dict(type='LoadImageFromFile'),
    # a crop of 0.95: 235 = floor(224 / 0.95)
    dict(type='ResizeEdge', scale=235, edge='short', backend='pillow', interpolation='bicubic'),
    dict(type='CenterCrop', crop_size=224),
    dict(type='PackInputs'),
]
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
