# vaihingen_512.py with crops and windows of 256 px, out of the same patches
_base_ = './vaihingen_512.py'

crop_size = (256, 256)
slide = dict(crop_size=crop_size, stride=(170, 170))
train_pipeline = [
    dict(step, crop_size=crop_size) if step['type'] == 'RandomCrop' else step
    for step in _base_.train_pipeline
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
