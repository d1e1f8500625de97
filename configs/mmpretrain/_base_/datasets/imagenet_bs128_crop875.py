_base_ = './imagenet_bs256.py'

test_pipeline = _base_.test_pipeline
# a crop of 0.875: 256 = 224 / 0.875
test_pipeline[1].scale = 256
train_dataloader = dict(batch_size=128)
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
