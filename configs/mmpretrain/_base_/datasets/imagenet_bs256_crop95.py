_base_ = './imagenet_bs256.py'

test_pipeline = _base_.test_pipeline
# a crop of 0.95: 235 = floor(224 / 0.95)
test_pipeline[1].scale = 235
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
