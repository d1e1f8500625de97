# for VM-UNet and CVMH-UNet on aerial images: CVMH-UNet's learning rate, decay and batch of 5 images on
# one GPU. Its 300 epochs have a length that depends on how scenes are cut, and its schedule is not
# printed: these are the iterations that mmseg trains such sets for, and UperNet's schedule
_base_ = '../../../_base_/schedules/adamw.py'

max_iters = 80000
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=8000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

optim_wrapper = dict(optimizer=dict(lr=1e-3, weight_decay=0.05))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end=1500),
    dict(type='PolyLR', power=1.0, eta_min=0.0, begin=1500, end=max_iters, by_epoch=False),
]
auto_scale_lr = dict(base_batch_size=5)
