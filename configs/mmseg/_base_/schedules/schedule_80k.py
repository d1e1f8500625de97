# for Semantic FPN, 80k iterations of 16 images = 8 GPUs x 2. SparX's paper gives no settings and no
# such model was released; these are UniFormer's, the most likely ones.
_base_ = '../../../_base_/schedules/adamw.py'

max_iters = 80000
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=8000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

optim_wrapper = dict(optimizer=dict(lr=2e-4, weight_decay=1e-4))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end=1000),
    dict(type='CosineAnnealingLR', eta_min=0.0, begin=1000, end=max_iters, by_epoch=False),
]
